"""What several scripts share. `KEYS[1]` is the prefix; every other key is made from it (no cluster mode, DESIGN §6.6).

Keys:
    lease:<lane> "<number>|<holder>" with a time to live; fence: the counter of numbers; held: lane → number until released
    items:<lane> id → header, newline, JSON; from:<lane> author → "<messages waiting>|<time of the oldest>"
    q:<lane> by due time: ids, and "@<author>" for all that this author said; due: lane by the time to look at it
    said:<team>/<channel>/<ts> what is known of a message; run:, loose:<team>/<channel>/<user> top-level messages in a row
    deadlines "<what>:<subject>" by time; deadline_lanes
    now: stream of immediate items; once:<what> names that are used up; wake, out_wake: one token for one sleeper
    log:<mission> stream; mission:<mission> head, lane, thread; lanes: lane → mission; missions, running by number
    out: keys of waiting posts by order; post:<key>; ts:<channel>/<ts> → key
    deputies: id → JSON of delegations and break-glasses that stand or are offered
    stops: lane → count; freeze: while it is there no change begins
    audit: stream; audit_head: its newest hash; head:<day>, head_last what was posted of it
"""

from bot.store.connection import Script

BASE = """
local p = KEYS[1]
local call = redis.call
local at_arg = 0
local function take() at_arg = at_arg + 1; return ARGV[at_arg] end
local function text(n) return string.format('%.0f', n) end
local function clock() local t = call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000) end
local function wake(name)
  if call('LLEN', p .. name) == 0 then call('RPUSH', p .. name, '1') end
end
local function mine(lane, proof) return call('GET', p .. 'lease:' .. lane) == proof end
"""

LANES = """
local function look_at(lane, at)
  call('ZADD', p .. 'due', 'LT', text(at), lane)
  wake('wake')
end
local function store(lane, header, json)
  local id = string.format('%012d', call('INCR', p .. 'seq'))
  call('HSET', p .. 'items:' .. lane, id, header .. '\\n' .. json)
  return id
end
local function enqueue(lane, json, now)
  call('ZADD', p .. 'q:' .. lane, text(now), store(lane, '', json))
  look_at(lane, now)
end
local function author(item) return string.match(item, '^([^|\\n]+)|') end
local function drop(lane, id)
  local item = call('HGET', p .. 'items:' .. lane, id)
  if not item then return end
  call('HDEL', p .. 'items:' .. lane, id)
  call('ZREM', p .. 'q:' .. lane, id)
  local user = author(item)
  if not user then return end
  local count, first = string.match(call('HGET', p .. 'from:' .. lane, user), '^(%d+)|(%d+)$')
  if tonumber(count) > 1 then
    call('HSET', p .. 'from:' .. lane, user, text(count - 1) .. '|' .. first)
  else
    call('HDEL', p .. 'from:' .. lane, user)
    call('ZREM', p .. 'q:' .. lane, '@' .. user)
  end
end
local function look_again(lane)
  local first = call('ZRANGE', p .. 'q:' .. lane, 0, 0, 'WITHSCORES')
  if first[1] then
    call('ZADD', p .. 'due', first[2], lane)
    wake('wake')
  else
    call('ZREM', p .. 'due', lane)
  end
end
"""

POSTS = """
local function put_post(key, json)
  local k = p .. 'post:' .. key
  local sha = redis.sha1hex(json)
  local was = call('HMGET', k, 'sha', 'why')
  if was[1] == sha and not was[2] then return end
  call('HSET', k, 'body', json, 'sha', sha)
  call('HINCRBY', k, 'version', 1)
  call('HDEL', k, 'why')
  call('PERSIST', k)
  if not call('ZSCORE', p .. 'out', key) then call('ZADD', p .. 'out', call('INCR', p .. 'out_seq'), key) end
  wake('out_wake')
end
"""


def script(*parts: str, again: bool = False) -> Script:
    return Script(BASE + "".join(parts), again=again)
