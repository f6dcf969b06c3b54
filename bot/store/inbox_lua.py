"""The inbox's scripts.

A lane's item is a header line and JSON. A human message's header is `user|edited_at|to,to`; other items have none.
"""

from bot.store.lua import LANES, script

_SAID = """
local place, ts, user, lane = take(), take(), take(), take()
local top, edit, to, sha, json = take() == '1', take(), take(), take(), take()
local delay, limit, kept = tonumber(take()), tonumber(take()), take()
local now = clock()
local person = place .. '/' .. user

-- `edit`: Slack's time of the edit whose text is known, '' for the first text; a copy of an older edit changes nothing.
local function remember(of_ts, into, id, its_sha, its_edit)
  local k = p .. 'said:' .. place .. '/' .. of_ts
  call('HSET', k, 'lane', into, 'id', id, 'sha', its_sha, 'edit', its_edit)
  call('PEXPIRE', k, kept)
end

-- One author's messages that have not been heard yet are heard together, when he has paused: they share one due time.
local function add(into, of_ts, its_sha, its_json, its_to, edited_at, its_edit)
  local q, from = p .. 'q:' .. into, p .. 'from:' .. into
  local count, first = string.match(call('HGET', from, user) or '', '^(%d+)|(%d+)$')
  local due = math.min(now + delay, (first or now) + limit * delay)
  local was_due = tonumber(call('ZSCORE', q, '@' .. user) or now + 1)
  if was_due <= now then due = was_due end
  call('HSET', from, user, text((count or 0) + 1) .. '|' .. (first or text(now)))
  call('ZADD', q, text(due), '@' .. user)
  remember(of_ts, into, store(into, user .. '|' .. edited_at .. '|' .. its_to, its_json), its_sha, its_edit)
  look_at(into, due)
end

local function union(old, new)
  local out, has = {}, {}
  for name in string.gmatch(old .. ',' .. new, '[^,]+') do
    if not has[name] then out[#out + 1] = name; has[name] = true end
  end
  return table.concat(out, ',')
end

local was = call('HMGET', p .. 'said:' .. place .. '/' .. ts, 'lane', 'id', 'sha', 'edit')
local newer = edit ~= '' and edit > (was[4] or '')
if was[2] and was[2] ~= '' then
  local items = p .. 'items:' .. was[1]
  local item = call('HGET', items, was[2])
  local changed = newer and was[3] ~= sha
  if not item then
    if not changed then return 'merged' end
    add(was[1], ts, sha, json, to, edit, edit)
    return 'new'
  end
  local by, flag, old_to, old_json = string.match(item, '^([^|]*)|([^|]*)|([^\\n]*)\\n(.*)$')
  local now_to = union(old_to, to)
  if changed and to ~= '' then now_to = to end
  call('HSET', items, was[2], by .. '|' .. flag .. '|' .. now_to .. '\\n' .. (changed and json or old_json))
  if newer then remember(ts, was[1], was[2], sha, edit) end
  return 'merged'
end

if not top then
  add(lane, ts, sha, json, to, was[2] and '' or edit, edit)
  return 'new'
end

-- Top-level messages: by Slack's times, so that a late delivery changes nothing.
local run, loose = p .. 'run:' .. person, p .. 'loose:' .. person
local t, gap = tonumber(ts), delay / 1000
local go = call('HMGET', run, 'lane', 'first', 'last')
local last = t
local follows = go[1] and t <= tonumber(go[3]) + gap
  and (t >= tonumber(go[2]) or (to ~= '' and t >= tonumber(go[2]) - gap))
if follows then
  lane, last = go[1], math.max(t, tonumber(go[3]))
elseif to == '' then
  remember(ts, '', '', sha, edit)
  call('ZADD', loose, ts, ts .. '|' .. sha .. '\\n' .. json)
  call('PEXPIRE', loose, 600000)
  return 'ignored'
else
  call('HSET', run, 'lane', lane, 'first', ts)
end
call('ZREMRANGEBYSCORE', loose, ts, ts)
add(lane, ts, sha, json, to, was[2] and '' or edit, edit)
-- what followed this one and arrived before it
while true do
  local next_ = call('ZRANGE', loose, '(' .. string.format('%.6f', t), string.format('%.6f', last + gap), 'BYSCORE', 'LIMIT', 0, 1)
  if not next_[1] then break end
  call('ZREM', loose, next_[1])
  local its_ts, its_sha, its_json = string.match(next_[1], '^([^|]*)|([^\\n]*)\\n(.*)$')
  add(lane, its_ts, its_sha, its_json, '', '', '')
  last = math.max(last, tonumber(its_ts))
end
call('HSET', run, 'last', string.format('%.6f', last))
call('PEXPIRE', run, 3600000)
return 'new'
"""

PUT_SAID = script(LANES, _SAID, again=True)

PUT = script(
    LANES,
    """
local lane, json = take(), take()
enqueue(lane, json, clock())
return 1
""",
)

PUT_IMMEDIATE = script(
    """
local once, json, kept = take(), take(), take()
if not call('SET', p .. 'once:' .. once, '1', 'NX', 'PX', kept) then return 0 end
call('XADD', p .. 'now', '*', 'item', json)
return 1
""",
    again=True,
)

DONE_IMMEDIATE = script(
    """
local group, id = take(), take()
call('XACK', p .. 'now', group, id)
return call('XDEL', p .. 'now', id)
""",
    again=True,
)

# Gives the first lane that is due and not held, and keeps it from the others for a second: enough to take its lease.
# Otherwise how many milliseconds nothing will be due. A lane whose lease ended without a release comes too, even if
# nothing waits in it: its holder died, and a turn may be unfinished.
CLAIM = script(
    LANES,
    """
local now = clock()
for _, what in ipairs(call('ZRANGE', p .. 'deadlines', '-inf', text(now), 'BYSCORE', 'LIMIT', 0, 100)) do
  local lane = call('HGET', p .. 'deadline_lanes', what)
  call('ZREM', p .. 'deadlines', what)
  call('HDEL', p .. 'deadline_lanes', what)
  local kind, subject = string.match(what, '^([^:]*):(.*)$')
  enqueue(lane, cjson.encode({kind = 'deadline_reached', lane = lane, what = kind, subject = subject}), now)
end
local due = p .. 'due'
local function soonest()
  local soon = now + 60000
  for _, k in ipairs({due, p .. 'deadlines'}) do
    local first = call('ZRANGE', k, 0, 0, 'WITHSCORES')
    if first[1] then soon = math.min(soon, tonumber(first[2])) end
  end
  return soon
end
for _ = 1, 100 do
  local top = call('ZRANGE', due, 0, 0, 'WITHSCORES')
  if not top[1] or tonumber(top[2]) > now then break end
  local lane = top[1]
  local left = call('PTTL', p .. 'lease:' .. lane)
  local first = call('ZRANGE', p .. 'q:' .. lane, 0, 0, 'WITHSCORES')
  if left > 0 then
    call('ZADD', due, text(now + left), lane)
  elseif call('HEXISTS', p .. 'held', lane) == 1 or (first[1] and tonumber(first[2]) <= now) then
    call('ZADD', due, text(now + 1000), lane)
    if soonest() < now + 1000 then wake('wake') end -- another worker looks after that one
    return {lane, 0}
  elseif first[1] then
    call('ZADD', due, first[2], lane)
  else
    call('ZREM', due, lane)
  end
end
return {'', math.max(0, soonest() - now)}
""",
)

READ = script(
    LANES,
    """
local lane = take()
local ids, heard, some = {}, {}, false
for _, due in ipairs(call('ZRANGE', p .. 'q:' .. lane, '-inf', text(clock()), 'BYSCORE')) do
  local user = string.match(due, '^@(.*)$')
  if user then heard[user] = true; some = true else ids[#ids + 1] = due end
end
local all = some and call('HGETALL', p .. 'items:' .. lane) or {}
for i = 1, #all, 2 do
  if heard[author(all[i + 1]) or 0] then ids[#ids + 1] = all[i] end
end
table.sort(ids)
local out = {}
for _, id in ipairs(ids) do
  out[#out + 1] = id
  out[#out + 1] = call('HGET', p .. 'items:' .. lane, id)
end
return out
""",
    again=True,
)

CLEAR = script(
    LANES,
    """
local lane = take()
local dropped = 0
local all = call('HGETALL', p .. 'items:' .. lane)
for i = 1, #all, 2 do
  if author(all[i + 1]) then
    drop(lane, all[i])
    dropped = dropped + 1
  end
end
return dropped
""",
)
