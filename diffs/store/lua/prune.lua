-- Removes what is older than an age from feeds of one shard, from as many of them as a moment allows.
--
-- KEYS[2...]  the feeds' sorted sets, each model's together
-- ARGV[3]     '1': count only, write nothing
-- ARGV[4...]  for each model: label, window and age in microseconds, how many of the feeds are its
-- RETURNS     number of feeds that are done (those behind them want another call), number of diffs removed, number of
--             bytes freed, then the numbers (from 1) of the keys that are no sorted set
--
-- The floors rise first, so that no reader ever takes a pruned feed for a whole one. How much room small feeds give
-- back is measured in some of each model's and reckoned for the rest: measuring takes longer than removing.

local dry = ARGV[3] == '1'
-- What one call does, for others wait for it: a millisecond or two. Each feed is as much work as some diffs are.
local MOST = 7000
local FEED = 5
local SMALL = 128
local SAMPLES = 8

local windows, fields = {}, {'epoch', 'clock'}
for index = 4, #ARGV, 4 do
  windows[ARGV[index]] = tonumber(ARGV[index + 1])
  fields[#fields + 1] = 'floor:' .. ARGV[index]
end
if not dry then
  -- A first write that is allowed on a full server makes Redis accept those behind it.
  redis.call('HDEL', meta, '')
  prepare(windows)
end
local known = redis.call('HMGET', meta, unpack(fields))
clock = tonumber(known[2]) or 0

local left = MOST

local function bytes_of(key)
  local size = redis.pcall('MEMORY', 'USAGE', key)
  return type(size) == 'number' and size or 0
end

-- Removes the `stale` oldest diffs of a feed, or as many as one call may; returns how many.
local function remove(key, stale)
  if stale > SMALL and stale == redis.call('ZCARD', key) then
    redis.call('UNLINK', key)
    return stale
  end
  local count = math.min(stale, left)
  left = left - count
  return redis.call('ZREMRANGEBYRANK', key, 0, count - 1)
end

local feed, removed, freed, wrong = 2, 0, 0, {}
for index = 4, #ARGV, 4 do
  if left <= 0 then
    break
  end
  local field = index / 4 + 2
  local floor = tonumber(known[field]) or 0
  local cut = math.min(math.max(floor, math.max(now, clock) - tonumber(ARGV[index + 2])), clock)
  if not dry and cut > floor then
    redis.call('HSET', meta, fields[field], cut)
  end
  local high = string.format('%.0f', cut)
  local behind = feed + tonumber(ARGV[index + 3])
  local samples, sample_removed, sample_freed, unmeasured = 0, 0, 0, 0
  while feed < behind and left > 0 do
    local key = KEYS[feed]
    local stale = redis.pcall('ZCOUNT', key, '-inf', high)
    local gone = stale
    if type(stale) == 'table' then
      wrong[#wrong + 1] = feed - 1
    elseif stale > 0 then
      local large = stale > SMALL
      local measured = large or samples < SAMPLES
      local bytes = measured and bytes_of(key)
      if not dry then
        gone = remove(key, stale)
        bytes = measured and bytes - bytes_of(key)
      elseif measured then
        bytes = bytes * stale / redis.call('ZCARD', key)
      end
      removed = removed + gone
      if large then
        freed = freed + bytes
      elseif measured then
        samples, sample_removed, sample_freed = samples + 1, sample_removed + gone, sample_freed + bytes
      else
        unmeasured = unmeasured + gone
      end
    end
    -- One that is too large for this call is the next one's first.
    if gone == stale then
      feed = feed + 1
      left = left - FEED
    end
  end
  freed = freed + sample_freed
  if unmeasured > 0 then
    freed = freed + unmeasured * sample_freed / sample_removed
  end
end

local reply = {feed - 2, removed, math.floor(freed)}
for index = 1, #wrong do
  reply[3 + index] = wrong[index]
end
return reply
