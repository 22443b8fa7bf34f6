-- Removes what is older than an age from many feeds of one shard.
--
-- KEYS[2...]  the feeds' sorted sets
-- ARGV[3]     '1': count only, write nothing
-- ARGV[4]     number of models
-- ARGV[5...]  for each model: label, window and age in microseconds
-- then        for each feed: the number (from 1) of its model
-- RETURNS     number of diffs removed, number of bytes freed, then the numbers (from 1) of the keys that are no sorted set
--
-- The floors rise first, so that no reader ever takes a pruned feed for a whole one.

local dry = ARGV[3] == '1'
local models = tonumber(ARGV[4])
local cuts = {}

if not dry then
  unlock()
  need_epoch()
end
for index = 1, models do
  local model = ARGV[2 + 3 * index]
  local window = tonumber(ARGV[3 + 3 * index])
  local age = tonumber(ARGV[4 + 3 * index])
  if not dry then
    need_window(model, window)
  end
  local floor = number_in('floor:' .. model)
  local cut = math.min(math.max(floor, logical_now() - age), clock)
  if not dry and cut > floor then
    redis.call('HSET', meta, 'floor:' .. model, text(cut))
  end
  cuts[index] = text(cut)
end

local function bytes_of(key)
  local size = redis.pcall('MEMORY', 'USAGE', key)
  return type(size) == 'number' and size or 0
end

local removed, freed, wrong = 0, 0, {}
for feed = 2, #KEYS do
  local key = KEYS[feed]
  local cut = cuts[tonumber(ARGV[3 + 3 * models + feed])]
  local stale = redis.pcall('ZCOUNT', key, '-inf', cut)
  if type(stale) == 'table' then
    wrong[#wrong + 1] = feed - 1
  elseif stale > 0 then
    removed = removed + stale
    local before = bytes_of(key)
    if dry then
      freed = freed + before * stale / redis.call('ZCARD', key)
    else
      if stale == redis.call('ZCARD', key) then
        redis.call('UNLINK', key)
      else
        redis.call('ZREMRANGEBYRANK', key, 0, stale - 1)
      end
      freed = freed + before - bytes_of(key)
    end
  end
end

local reply = {removed, math.floor(freed)}
for index = 1, #wrong do
  reply[2 + index] = wrong[index]
end
return reply
