-- Raises floors: every cursor handed out before is refused, also one that was up to date.
--
-- KEYS[2...]  in pairs: a feed's sorted set, the same feed's floor
-- ARGV[3]     '1': also remove what lies below, which is all that the feeds hold
-- ARGV[4...]  for each feed: model, window in microseconds
-- then        the names of meta's fields to raise: floor, floor:<model>
-- RETURNS     epoch, clock
--
-- Works on a full server. Published like a diff: on the feeds' channels, and on meta's where a field of it was raised.

local feeds = (#KEYS - 1) / 2
local first_field = 4 + 2 * feeds

-- A feed's floor expires after two windows: should they grow later, that has to be noticed.
local windows = {}
for index = 4, first_field - 1, 2 do
  windows[ARGV[index]] = tonumber(ARGV[index + 1])
end

-- A first write that is allowed on a full server makes Redis accept those behind it.
redis.call('HDEL', meta, '')
prepare(windows)
local floor = tick(1)
for index = 1, feeds do
  local feed, key = KEYS[2 * index], KEYS[2 * index + 1]
  -- Where Redis's time was set back, what is kept counts from where the clock stands.
  local lifetime = math.ceil(tonumber(ARGV[3 + 2 * index]) / 500) + math.floor((clock - now) / 1000)
  redis.call('SET', key, floor, 'PX', lifetime)
  if ARGV[3] == '1' then
    redis.call('UNLINK', feed)
  end
  redis.pcall('PUBLISH', feed, floor)
end
for index = first_field, #ARGV do
  redis.call('HSET', meta, ARGV[index], floor)
end
if #ARGV >= first_field then
  redis.pcall('PUBLISH', meta, floor)
end
if feeds > 0 then
  -- For appends, which don't look at each feed's floor.
  redis.call('HSET', meta, 'cleared', floor)
end
return {epoch, floor}
