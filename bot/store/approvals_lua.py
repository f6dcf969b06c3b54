"""The scripts of approval requests: every change looks first and changes then, in one step.

Keys:
    request:<id> hash: json (as it was asked), status, digest, lane, expires and approved_at in ms, quorum (and as it was
        asked, while it is raised), note, result
    votes:<id> user → JSON; pending: id by time of asking; waits:<lane> digest → id while pending or approved
    executing:<lane> ids that began and did not finish
"""

from bot.store.lua import script

_OPEN = """
local id = take()
local k = p .. 'request:' .. id
local status = call('HGET', k, 'status')
local function leave(new, note)
  call('HSET', k, 'status', new, 'note', note)
  call('ZREM', p .. 'pending', id)
  if new == 'approved' then return end
  local lane, digest = unpack(call('HMGET', k, 'lane', 'digest'))
  if call('HGET', p .. 'waits:' .. lane, digest) == id then call('HDEL', p .. 'waits:' .. lane, digest) end
end
"""

CREATE = script(
    """
local id, json, lane, digest, asked, expires, quorum = take(), take(), take(), take(), take(), take(), take()
local lasts = expires - asked
expires = tonumber(expires)
-- a worker whose clock is far behind asks for what has run out already; it waits as long as it was meant to
if lasts > 0 and expires <= clock() then expires = clock() + lasts end
local twin = call('HGET', p .. 'waits:' .. lane, digest)
if twin then -- one that ran out and was not ended yet is none
  local status, till = unpack(call('HMGET', p .. 'request:' .. twin, 'status', 'expires'))
  if status == 'approved' or tonumber(till) > clock() then return twin end
end
local k = p .. 'request:' .. id
if call('EXISTS', k) == 1 then return id end
call('HSET', k, 'json', json, 'status', 'pending', 'digest', digest, 'lane', lane, 'expires', text(expires), 'quorum', quorum)
call('ZADD', p .. 'pending', asked, id)
call('HSET', p .. 'waits:' .. lane, digest, id)
return id
""",
    again=True,
)

GET = script(
    """
local k = p .. 'request:'
local out = {}
for i = 1, #ARGV do
  local row = call('HMGET', k .. ARGV[i], 'json', 'status', 'note', 'approved')
  if row[1] then
    row[3] = row[3] or ''
    row[4] = row[4] or ''
    row[5] = call('HVALS', p .. 'votes:' .. ARGV[i])
    row[6] = call('HGET', k .. ARGV[i], 'quorum')
    out[#out + 1] = row
  end
end
return out
""",
    again=True,
)

VOTE = script(
    _OPEN,
    """
local user, ballot, json, reason, now = take(), take(), take(), take(), tonumber(take())
if not status then return 'unknown' end
if status == 'expired' or status == 'superseded' or status == 'cancelled' then return status end
if status ~= 'pending' then return 'already_decided' end
if now >= tonumber(call('HGET', k, 'expires')) then return 'expired' end
if call('HSETNX', p .. 'votes:' .. id, user, json) == 0 then return 'already_voted' end
if ballot == 'deny' then
  leave('denied', reason)
elseif call('HINCRBY', k, 'ayes', 1) >= tonumber(call('HGET', k, 'quorum')) then
  call('HSET', k, 'approved', text(math.min(now, clock()))) -- a worker whose clock is ahead makes no approval last longer
  leave('approved', '')
end
return ''
""",
)

RAISE = script(
    _OPEN,
    """
if status ~= 'pending' then return 0 end
call('HSETNX', k, 'asked_quorum', call('HGET', k, 'quorum'))
call('HSET', k, 'quorum', text(math.max(tonumber(take()), tonumber(call('HGET', k, 'quorum')))))
return 1
""",
)

# While a request waits every vote is an aye: a deny ends it.
LOWER = script(
    _OPEN,
    """
if status ~= 'pending' or call('HEXISTS', k, 'asked_quorum') == 0 then return 0 end
while at_arg < #ARGV do
  if call('HDEL', p .. 'votes:' .. id, take()) == 1 then call('HINCRBY', k, 'ayes', -1) end
end
call('HSET', k, 'quorum', call('HGET', k, 'asked_quorum'))
call('HDEL', k, 'asked_quorum')
return 1
""",
)

END = script(
    _OPEN,
    """
if status ~= 'pending' and status ~= 'approved' then return 0 end
leave(take(), take())
return 1
""",
)

# The one step between "may run" and "has begun" (rule 13). What it answers is why nothing may run, or "".
CONSUME = script(
    _OPEN,
    """
local lane, proof, stops, digest, within, freezes = take(), take(), take(), take(), tonumber(take()), take()
if status ~= 'approved' then return 'not_approved' end
if call('HGET', k, 'lane') ~= lane or not mine(lane, proof) then return 'stale_token' end
if (call('HGET', p .. 'stops', lane) or '0') ~= stops then return 'stopped' end
if freezes == '1' and call('EXISTS', p .. 'freeze') == 1 then return 'frozen' end
if call('HGET', k, 'digest') ~= digest then return 'digest' end
local now = clock()
if now - tonumber(call('HGET', k, 'approved')) > within then return 'too_late' end
leave('executing', '')
call('HSET', k, 'began', text(now), 'by', proof)
call('SADD', p .. 'executing:' .. lane, id)
return ''
""",
)

# The intent is not on disk: nothing ran, and nothing may. Best effort; otherwise it stays an unknown outcome.
WITHDRAW = script(
    _OPEN,
    """
if status ~= 'executing' or call('HGET', k, 'by') ~= take() then return 0 end
leave('cancelled', take())
return call('SREM', p .. 'executing:' .. call('HGET', k, 'lane'), id)
""",
)

FINISH = script(
    _OPEN,
    """
local new, result = take(), take()
if status ~= 'executing' then return 0 end
leave(new, '')
call('HSET', k, 'result', result)
call('SREM', p .. 'executing:' .. call('HGET', k, 'lane'), id)
return 1
""",
    again=True,
)
