-- Appends diffs to feeds of one shard, all of a call at once.
--
-- KEYS[2...]  the feeds' sorted sets
-- ARGV[3...]  for each feed: model, window in microseconds, number of members, members
-- RETURNS     epoch, clock, then the numbers (from 1) of the feeds whose key is no sorted set
--
-- Each member gets a timestamp of its own. A member that is there already keeps the one it has, so that a repeated
-- call adds nothing. An append trims its feed, and a feed that nothing is appended to expires as a whole.

local TRIM = 1000
local CHUNK = 1000

local windows, total = {}, 0
local position = 3
for _ = 2, #KEYS do
  local count = tonumber(ARGV[position + 2])
  windows[ARGV[position]] = tonumber(ARGV[position + 1])
  total = total + count
  position = position + 3 + count
end

prepare(windows)
local timestamp = tick(total)
local reply = {epoch, clock}
position = 3
for feed = 2, #KEYS do
  local key = KEYS[feed]
  local window = tonumber(ARGV[position + 1])
  local last = position + 2 + tonumber(ARGV[position + 2])
  position = position + 3
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
      redis.call('ZREMRANGEBYRANK', key, 0, math.min(stale, TRIM) - 1)
    end
    redis.call('PEXPIRE', key, math.ceil(window / 500))
    redis.pcall('PUBLISH', key, timestamp - 1)
  end
end
return reply
