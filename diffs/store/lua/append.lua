-- Appends diffs to feeds of one shard, all of a call at once.
--
-- KEYS[2...]  the feeds' sorted sets, then in their order the floors of those that are bounded
-- ARGV[3...]  for each feed: model, window in microseconds, the most members that it keeps ('' for no bound), number of
--             members, members
-- RETURNS     epoch, clock, then the numbers (from 1) of the feeds whose key is no sorted set
--
-- Each member gets a timestamp of its own. A member that is there already keeps the one it has, so that a repeated
-- call adds nothing. An append trims its feed, and a feed that nothing is appended to expires as a whole. What an append
-- removes of a feed for its bound raises the feed's floor to the last that went, so that only who stands below is
-- refused.

-- What one call removes of a feed at the most, unless it adds half as many.
local TRIM = 1000
local CHUNK = 1000

local windows, total, feeds = {}, 0, 0
local position = 3
while position <= #ARGV do
  local count = tonumber(ARGV[position + 3])
  windows[ARGV[position]] = tonumber(ARGV[position + 1])
  total = total + count
  feeds = feeds + 1
  position = position + 4 + count
end

prepare(windows)
local timestamp = tick(total)
local reply = {epoch, clock}
position = 3
local floors = feeds + 1
for feed = 2, feeds + 1 do
  local key = KEYS[feed]
  local window = tonumber(ARGV[position + 1])
  local bound = tonumber(ARGV[position + 2])
  local count = tonumber(ARGV[position + 3])
  local last = position + 3 + count
  position = position + 4
  local most = math.max(TRIM, 2 * count)
  floors = floors + (bound and 1 or 0)
  -- What would go at once isn't added: a repeated call would add it again, behind what came after it.
  local skipped = bound and math.max(count - bound, 0) or 0
  timestamp, position = timestamp + skipped, position + skipped
  local failed = false
  while position <= last do
    local added
    if position == last then
      added = redis.pcall('ZADD', key, 'NX', timestamp, ARGV[position])
      timestamp, position = timestamp + 1, position + 1
    else
      local arguments = {}
      for index = position, math.min(position + CHUNK - 1, last) do
        arguments[#arguments + 1] = timestamp
        arguments[#arguments + 1] = ARGV[index]
        timestamp = timestamp + 1
      end
      position = math.min(position + CHUNK, last + 1)
      added = redis.pcall('ZADD', key, 'NX', unpack(arguments))
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
    reply[#reply + 1] = feed - 1
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
    end
    -- The floor may be higher already, and must not sink.
    if dropped and (tonumber(redis.call('GET', KEYS[floors])) or 0) < dropped then
      redis.call('SET', KEYS[floors], dropped, 'PX', math.ceil(window / 500))
    end
    redis.call('PEXPIRE', key, math.ceil(window / 500))
    redis.pcall('PUBLISH', key, timestamp - 1)
  end
end
return reply
