-- Stands in front of every script.
--
-- KEYS[1]  the shard's meta hash
-- ARGV[1]  the time in microseconds; '' outside tests: then it is Redis's own
-- ARGV[2]  a random name, should the shard need a new epoch
--
-- Fields of meta: epoch, clock, replid, evicted, floor, floor:<model>, window:<model>, and the highest floor that a feed
-- of its own got, cleared. Times are whole microseconds since the Unix epoch; below 2^53 they are exact in Lua. Redis
-- writes the numbers among a command's arguments without an exponent; Lua's own conversions don't, so that what becomes
-- part of a text or of a reply needs '%.0f'.
--
-- Calling a command, making a function and formatting a number each take about as long as adding to a small set does:
-- what runs with each diff and each poll does as little of them as it can.

local meta = KEYS[1]
local unpack = unpack or table.unpack
local epoch, clock

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Moves the clock by `count` timestamps and returns the first of them. Written before anything else, because an
-- error further down doesn't take it back.
local function tick(count)
  local first = math.max(now, clock + 1)
  clock = first + count - 1
  redis.call('HSET', meta, 'clock', clock)
  return first
end

-- Begins a new epoch: cursors from before name another, and lie below its floor, as all does that the feeds hold. The
-- clock goes on from where it is. What the server says of itself is kept, to be compared by whoever reads.
local function begin_epoch()
  local floor = tick(1)
  local replication, stats = redis.pcall('INFO', 'replication'), redis.pcall('INFO', 'stats')
  -- An error is a table: not every server has INFO, and not every user may call it.
  local replid = type(replication) == 'string' and string.match(replication, '\nmaster_replid:(%w+)')
  local evicted = type(stats) == 'string' and string.match(stats, '\nevicted_keys:(%d+)')
  epoch = ARGV[2]
  redis.call('HSET', meta, 'epoch', epoch, 'floor', floor, 'replid', replid or '', 'evicted', evicted or '')
end

-- Begins a script that writes: the shard has an epoch then, and knows the windows, which come by model.
local function prepare(windows)
  local fields = {'epoch', 'clock'}
  for model in pairs(windows) do
    fields[#fields + 1] = 'window:' .. model
  end
  local known = redis.call('HMGET', meta, unpack(fields))
  epoch, clock = known[1], tonumber(known[2]) or 0
  if not epoch then
    -- The shard's data is gone.
    redis.call('DEL', meta)
    known, clock = {}, 0
    begin_epoch()
  end
  for index = 3, #fields do
    local model = string.sub(fields[index], 8)
    local window, before = windows[model], tonumber(known[index])
    if window ~= before then
      if before and before < window then
        -- What was trimmed by a shorter window is missing from a longer one: such cursors are refused.
        redis.call('HSET', meta, 'floor:' .. model, tick(1))
      end
      redis.call('HSET', meta, fields[index], window)
    end
  end
end
