-- Appends diffs to feeds of one shard, all of a call at once.
--
-- KEYS[2...]  the feeds' sorted sets, then in their order the floors of those that are bounded
-- ARGV[3]     epoch of the mark that the diffs were captured at
-- ARGV[4]     the mark's timestamp, which was the shard's clock then; '' where nothing counts as late
-- ARGV[5...]  for each feed: model, window in microseconds, the most members that it keeps ('' for no bound), for each
--             member two bytes with the length of its row's name ('' where each is of the row that the feed is named
--             after), number of members, members
-- RETURNS     epoch, clock; where something wasn't appended also two lists: the numbers (from 1) of the feeds whose key
--             is no sorted set; and of late members their numbers (from 1, over all feeds), each with the version that
--             is ahead of it, 0 where that isn't known
--
-- Each member gets a timestamp of its own. A member that is there already keeps the one it has, so that a repeated
-- call adds nothing. An append trims its feed, and a feed that nothing is appended to expires as a whole. What an append
-- removes of a feed for its bound raises the feed's floor to the last that went, so that only who stands below is
-- refused.
--
-- A member is late where the feed holds a higher version of its row. That can only have been appended after the mark:
-- it was drawn later. Where what came since the mark is no longer there, or is too much to look at, members count as late.

-- What one call removes of a feed at the most, unless it adds half as many.
local TRIM = 1000
local CHUNK = 1000
-- So many members are looked at, which takes less than a millisecond; for each that is appended, a few.
local LOOKBACK = 2000
local LOOKBACK_EACH = 40
-- From here on versions are the database's: see capture/versions.py.
local DATABASE = 4000000000000000

local windows, total, feeds = {}, 0, 0
local position = 5
while position <= #ARGV do
  local count = tonumber(ARGV[position + 4])
  windows[ARGV[position]] = tonumber(ARGV[position + 1])
  total = total + count
  feeds = feeds + 1
  position = position + 5 + count
end

prepare(windows)
local since = tonumber(ARGV[4])
local is_quiet = not since or (since == clock and ARGV[3] == epoch)
local timestamp = tick(total)

local ahead_in
-- Making functions takes time, and most calls need none.
if not is_quiet then
  local function is_foreign(member)
    return math.floor((string.byte(member) or 0) / 8) % 2 == 1
  end

  local function version_of(member)
    local a, b, c, d, e, f, g = string.byte(member, 2, 8)
    return g and (((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) * 256 + g or 0
  end

  -- The highest version of each row among members, of rows whose name has this length.
  local function versions_of(members, length)
    local found = {}
    for index = 1, #members do
      local member = members[index]
      if is_foreign(member) == (length > 0) then
        local row, version = string.sub(member, 13, 12 + length), version_of(member)
        if version > (found[row] or 0) then
          found[row] = version
        end
      end
    end
    return found
  end

  -- What was appended to a feed since the mark; nil where that can't be told.
  local function appended_since(key, floor, model, window, most)
    if ARGV[3] ~= epoch then
      return nil
    end
    local floors = redis.call('HMGET', meta, 'floor:' .. model, 'cleared', 'floor')
    for index = 1, 3 do
      if since < (tonumber(floors[index]) or 0) then
        return nil
      end
    end
    if since < clock - window or (floor and since < (tonumber(redis.call('GET', floor)) or 0)) then
      return nil
    end
    local found = redis.pcall('ZREVRANGEBYSCORE', key, '+inf', since + 1, 'LIMIT', 0, most + 1)
    if found.err then
      return {}
    end
    return #found <= most and found or nil
  end

  -- A function that tells of a feed's members which version is ahead of them; nil where none is.
  ahead_in = function(key, floor, model, window, count)
    local newer = appended_since(key, floor, model, window, math.max(LOOKBACK, LOOKBACK_EACH * count))
    if newer and #newer == 0 then
      return nil
    end
    local by_length = {}
    return function(member, length)
      local version = 0
      if newer then
        by_length[length] = by_length[length] or versions_of(newer, length)
        version = by_length[length][string.sub(member, 13, 12 + length)] or 0
        local own = version_of(member)
        if version <= own or (version >= DATABASE and own < DATABASE) then
          return nil
        end
      end
      -- One that is there has only been sent again, and a key of another type is told by adding.
      return not redis.pcall('ZSCORE', key, member) and version or nil
    end
  end
end

local wrong, late, number = {}, {}, 0
position = 5
local floors = feeds + 1
for feed = 2, feeds + 1 do
  local key = KEYS[feed]
  local model, window, bound = ARGV[position], tonumber(ARGV[position + 1]), tonumber(ARGV[position + 2])
  local lengths, count = ARGV[position + 3], tonumber(ARGV[position + 4])
  local last = position + 4 + count
  local first = position + 5
  local most = math.max(TRIM, 2 * count)
  floors = floors + (bound and 1 or 0)
  local ahead = ahead_in and ahead_in(key, bound and KEYS[floors], model, window, count)
  -- What would go at once isn't added: a repeated call would add it again, behind what came after it.
  local skipped = bound and math.max(count - bound, 0) or 0
  timestamp, position, number = timestamp + skipped, first + skipped, number + skipped
  local last_skipped, late_before = timestamp - 1, #late
  local failed = false
  while position <= last do
    local added
    if position == last and not ahead then
      added = redis.pcall('ZADD', key, 'NX', timestamp, ARGV[position])
      timestamp, position, number = timestamp + 1, position + 1, number + 1
    else
      local arguments = {}
      for index = position, math.min(position + CHUNK - 1, last) do
        local version
        number = number + 1
        if ahead then
          local high, low = string.byte(lengths, 2 * (index - first) + 1, 2 * (index - first) + 2)
          version = ahead(ARGV[index], low and high * 256 + low or 0)
        end
        if version then
          late[#late + 1] = number
          late[#late + 1] = string.format('%.0f', version)
        else
          arguments[#arguments + 1] = timestamp
          arguments[#arguments + 1] = ARGV[index]
        end
        timestamp = timestamp + 1
      end
      position = math.min(position + CHUNK, last + 1)
      added = #arguments > 0 and redis.pcall('ZADD', key, 'NX', unpack(arguments)) or 0
    end
    if type(added) == 'table' then
      -- Another error than that of a key of another type is no matter of this feed alone.
      if not string.find(tostring(added.err), 'WRONGTYPE', 1, true) then
        return added
      end
      failed = true
    end
  end
  if failed then
    wrong[#wrong + 1] = feed - 1
  else
    local stale = redis.call('ZCOUNT', key, '-inf', clock - window - 1)
    if stale > 0 then
      redis.call('ZREMRANGEBYRANK', key, 0, math.min(stale, most) - 1)
    end
    local excess = bound and redis.call('ZCARD', key) - bound or 0
    local dropped
    if excess > 0 then
      -- A hundredth more, but nothing that was added just now: a full feed is not to need this with each append.
      excess = math.min(excess + math.max(math.min(math.floor(bound / 100), bound - count), 0), most)
      dropped = tonumber(redis.call('ZRANGE', key, excess - 1, excess - 1, 'WITHSCORES')[2])
      redis.call('ZREMRANGEBYRANK', key, 0, excess - 1)
    end
    if skipped > 0 then
      -- In a repeated call, what is there already stands where it stood.
      dropped = (tonumber(redis.call('ZRANGE', key, -bound, -bound, 'WITHSCORES')[2]) or timestamp) - 1
      if #late > late_before then
        -- Those that weren't added leave their places to what is older than what was skipped.
        dropped = math.max(dropped, last_skipped)
      end
    end
    -- Where Redis's time was set back, what is kept counts from where the clock stands.
    local lifetime = math.ceil(window / 500) + math.floor((clock - now) / 1000)
    -- The floor may be higher already, and must not sink.
    if dropped and (tonumber(redis.call('GET', KEYS[floors])) or 0) < dropped then
      redis.call('SET', KEYS[floors], dropped, 'PX', lifetime)
    end
    redis.call('PEXPIRE', key, lifetime)
    redis.pcall('PUBLISH', key, timestamp - 1)
  end
end
if #wrong > 0 or #late > 0 then
  return {epoch, clock, wrong, late}
end
return {epoch, clock}
