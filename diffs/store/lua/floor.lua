-- Raises floors: every cursor handed out before is refused, also one that was up to date.
--
-- KEYS[2...]  in pairs: a feed's sorted set, the same feed's floor
-- ARGV[3]     '1': also remove what lies below, which is all that the feeds hold
-- ARGV[4...]  windows of these feeds in microseconds, then the names of meta's fields to raise: floor, floor:<model>
-- RETURNS     epoch, clock
--
-- Works on a full server. Published like a diff: on the feeds' channels, and on meta's where a field of it was raised.

unlock()
need_epoch()
local floor = text(tick(1))

local feeds = (#KEYS - 1) / 2
for index = 1, feeds do
  local feed, key = KEYS[2 * index], KEYS[2 * index + 1]
  redis.call('SET', key, floor, 'PX', text(math.ceil(tonumber(ARGV[3 + index]) / 500)))
  if ARGV[3] == '1' then
    redis.call('UNLINK', feed)
  end
  redis.pcall('PUBLISH', feed, floor)
end
for index = 4 + feeds, #ARGV do
  redis.call('HSET', meta, ARGV[index], floor)
end
if #ARGV >= 4 + feeds then
  redis.pcall('PUBLISH', meta, floor)
end
return {epoch, floor}
