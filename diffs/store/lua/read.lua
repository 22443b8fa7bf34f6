-- Reads a feed.
--
-- KEYS[2]   the feed's sorted set
-- KEYS[3]   the feed's floor
-- ARGV[3]   '1' where the script may write; without it, it never does, and answers 'write' where it would have to
-- ARGV[4]   model
-- ARGV[5]   window in microseconds
-- ARGV[6]   the cursor's epoch; '' for none, then nothing is refused
-- ARGV[7]   the cursor's timestamp; '' for none, then reading begins at the oldest diff that the floors leave
-- ARGV[8]   'asc', 'desc', 'count' or 'cursor'
-- ARGV[9]   how many members to return at the most
-- then, if need be:
-- ARGV[10]  how many of the members behind the cursor the caller knows; only with 'asc' and a cursor, else ''
-- ARGV[11]  the timestamp of the last of them. Where the feed holds as many up to there, only what follows is returned
-- ARGV[12]  how many members to skip
-- ARGV[13]  return only what lies above this timestamp, whatever the cursor; '' for no such bound
-- ARGV[14]  highest timestamp to return; '' for no such bound
-- RETURNS   'write'
--           'refused', reason, epoch, timestamp of a fresh cursor
--           'page', epoch, timestamp of the cursor to go on from, 1 where there is more, the timestamp above which the
--             feed holds what follows and nothing else, then in a list of their own member, timestamp, ...
--           'count', number

local call, max = redis.call, math.max
local may_write = ARGV[3] == '1'
local model = ARGV[4]
local window = tonumber(ARGV[5])
local has_cursor = ARGV[6] ~= ''
local from = tonumber(ARGV[7])
local mode = ARGV[8]
local upper = tonumber(ARGV[14])

local function fetch()
  local found =
    call('HMGET', meta, 'epoch', 'clock', 'window:' .. model, 'floor', 'floor:' .. model, 'replid', 'evicted')
  epoch, clock = found[1], tonumber(found[2]) or 0
  return tonumber(found[3]), max(tonumber(found[4]) or 0, tonumber(found[5]) or 0), found[6] or '', found[7] or ''
end

-- Whether the server still says of itself what it said when the epoch began; one that says nothing is not compared.
-- Looking for a text takes no time beside that of INFO itself, a pattern takes as long as INFO does.
local function still_says(section, name, value)
  local info = redis.pcall('INFO', section)
  return type(info) ~= 'string'
    or string.find(info, name .. value .. '\r', 1, true)
    or not string.find(info, name, 1, true)
end

local window_before, dropped, replid, evicted = fetch()
-- Another replication id: a replica took over, or the server was started again, and the last writes may be missing.
-- Another number of evicted keys: what was evicted may have been a feed, or a floor.
local is_lossy = epoch
  and not (still_says('replication', '\nmaster_replid:', replid) and still_says('stats', '\nevicted_keys:', evicted))
if not epoch or is_lossy or (window_before and window_before < window) then
  if not may_write then
    return {'write'}
  end
  -- A first write that is allowed on a full server makes Redis accept those behind it.
  call('HDEL', meta, '')
  if is_lossy then
    begin_epoch()
  end
  prepare({[model] = window})
  window_before, dropped = fetch()
end
dropped = max(dropped, tonumber(call('GET', KEYS[3])) or 0)

-- The highest time known: a clock that was set back changes nothing.
local logical_now = max(now, clock)
local oldest = logical_now - window

local reason
if has_cursor then
  if ARGV[6] ~= epoch then
    reason = 'reset'
  elseif from > clock then
    reason = 'unknown'
  elseif from < dropped then
    reason = 'reset'
  elseif from < oldest then
    reason = 'window'
  end
end

local timestamp, may_renew = clock, true
local above, found, more
if not reason then
  above = max(from or 0, tonumber(ARGV[13]) or 0, oldest, dropped)
  if mode == 'count' then
    return {'count', call('ZCOUNT', KEYS[2], above + 1, upper or '+inf')}
  end

  local limit = tonumber(ARGV[9])
  local known = tonumber(ARGV[10])
  if known then
    local last = tonumber(ARGV[11])
    -- What the caller knows are diffs of this feed: if there are as many, there are no others.
    if last <= clock and call('ZCOUNT', KEYS[2], above + 1, last) == known then
      above, from = last, last
      limit = limit - known
    end
  end

  local skipped = ARGV[12] or 0
  if mode == 'asc' then
    found = call('ZRANGEBYSCORE', KEYS[2], above + 1, upper or '+inf', 'WITHSCORES', 'LIMIT', skipped, limit + 1)
  elseif mode == 'desc' then
    found = call('ZREVRANGEBYSCORE', KEYS[2], upper or '+inf', above + 1, 'WITHSCORES', 'LIMIT', skipped, limit + 1)
  else
    found = {}
  end
  more = #found > 2 * limit
  if more then
    found[#found] = nil
    found[#found] = nil
  end

  if mode == 'asc' and more then
    timestamp, may_renew = tonumber(found[#found]) or above, false
  elseif upper then
    timestamp, may_renew = max(from or 0, math.min(upper, clock)), false
  elseif mode == 'asc' then
    timestamp = tonumber(found[#found]) or (has_cursor and from) or clock
  end
end

-- A cursor in the older half of the window is renewed by a tick; a younger one is handed back as it came.
if may_renew and timestamp < logical_now - window / 2 then
  if not may_write then
    return {'write'}
  end
  call('HDEL', meta, '')
  timestamp = tick(1)
end

if reason then
  return {'refused', reason, epoch, timestamp}
end
return {'page', epoch, timestamp, more and 1 or 0, above, found}
