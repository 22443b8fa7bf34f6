-- Reads a feed.
--
-- KEYS[2]   the feed's sorted set
-- KEYS[3]   the feed's floor
-- ARGV[3]   '1' where the script may write; without it, it never does, and answers 'write' where it would have to
-- ARGV[4]   model
-- ARGV[5]   window in microseconds
-- ARGV[6]   the cursor's epoch; '' for none, then nothing is refused
-- ARGV[7]   the cursor's timestamp; '' for none, then reading begins at the oldest diff that the floors leave
-- ARGV[8]   highest timestamp to return; '' for no such bound
-- ARGV[9]   'asc', 'desc', 'count' or 'cursor'
-- ARGV[10]  how many members to skip
-- ARGV[11]  how many members to return at the most
-- ARGV[12]  return only what lies above this timestamp, whatever the cursor; '' for no such bound
-- RETURNS   'write'
--           'refused', reason, epoch, timestamp of a fresh cursor
--           'page', epoch, timestamp of the cursor to go on from, '1' where there is more, then member, timestamp, ...
--           'count', number

local may_write = ARGV[3] == '1'
local model = ARGV[4]
local window = tonumber(ARGV[5])
local upper = tonumber(ARGV[8])
local mode = ARGV[9]

local function text(number)
  return string.format('%.0f', number)
end

local fields = {'epoch', 'clock', 'window:' .. model, 'floor', 'floor:' .. model}
local meta_values = redis.call('HMGET', meta, unpack(fields))
epoch, clock = meta_values[1], tonumber(meta_values[2]) or 0
local known = tonumber(meta_values[3])
if not epoch or (known and known < window) then
  if not may_write then
    return {'write'}
  end
  -- A first write that is allowed on a full server makes Redis accept those behind it.
  redis.call('HDEL', meta, '')
  prepare({[model] = window})
  meta_values = redis.call('HMGET', meta, unpack(fields))
end

-- The highest time known: a clock that was set back changes nothing.
local logical_now = math.max(now, clock)
local oldest = logical_now - window
local dropped = math.max(
  tonumber(meta_values[4]) or 0,
  tonumber(meta_values[5]) or 0,
  tonumber(redis.call('GET', KEYS[3])) or 0
)

-- A cursor in the older half of the window is renewed by a tick; a younger one is handed back as it came.
local function fresh(timestamp)
  if timestamp >= logical_now - window / 2 then
    return timestamp
  end
  if not may_write then
    return nil
  end
  redis.call('HDEL', meta, '')
  return tick(1)
end

local function refused_because()
  local timestamp = tonumber(ARGV[7])
  if ARGV[6] ~= epoch then
    return 'reset'
  elseif timestamp > clock then
    return 'unknown'
  elseif timestamp < dropped then
    return 'reset'
  elseif timestamp < oldest then
    return 'window'
  end
end

local reason = ARGV[6] ~= '' and refused_because()
if reason then
  local timestamp = fresh(clock)
  return timestamp and {'refused', reason, epoch, text(timestamp)} or {'write'}
end

local from = tonumber(ARGV[7])
local above = math.max(from or 0, tonumber(ARGV[12]) or 0, oldest, dropped)
local low = '(' .. text(above)
local high = upper and text(upper) or '+inf'

if mode == 'count' then
  return {'count', redis.call('ZCOUNT', KEYS[2], low, high)}
end

local limit = tonumber(ARGV[11])
local found = {}
if mode == 'asc' then
  found = redis.call('ZRANGEBYSCORE', KEYS[2], low, high, 'WITHSCORES', 'LIMIT', ARGV[10], text(limit + 1))
elseif mode == 'desc' then
  found = redis.call('ZREVRANGEBYSCORE', KEYS[2], high, low, 'WITHSCORES', 'LIMIT', ARGV[10], text(limit + 1))
end

local more = #found > 2 * limit
if more then
  found[#found] = nil
  found[#found] = nil
end

local timestamp
if mode == 'asc' and more then
  timestamp = tonumber(found[#found] or '') or above
elseif upper then
  timestamp = math.max(from or 0, math.min(upper, clock))
elseif mode == 'asc' then
  timestamp = fresh(tonumber(found[#found] or '') or (ARGV[6] ~= '' and from) or clock)
else
  timestamp = fresh(clock)
end
if not timestamp then
  return {'write'}
end

local reply = {'page', epoch, text(timestamp), more and '1' or ''}
for index = 1, #found do
  reply[#reply + 1] = found[index]
end
return reply
