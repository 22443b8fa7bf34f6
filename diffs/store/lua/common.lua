-- Stands in front of every script.
--
-- KEYS[1]  the shard's meta hash
-- ARGV[1]  the time in microseconds; '' outside tests: then it is Redis's own
-- ARGV[2]  a random name, should the shard need a new epoch
--
-- Fields of meta: epoch, clock, floor, floor:<model>, window:<model>. Times are whole microseconds since the Unix
-- epoch; below 2^53 they are exact in Lua, and '%.0f' writes them without an exponent.

local meta = KEYS[1]

local function text(number)
  return string.format('%.0f', number)
end

local function number_in(field)
  return tonumber(redis.call('HGET', meta, field) or '') or 0
end

local function read_time()
  if ARGV[1] ~= '' then
    return tonumber(ARGV[1])
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local now = read_time()
local epoch = redis.call('HGET', meta, 'epoch')
local clock = number_in('clock')

-- The highest time known: a clock that was set back changes nothing.
local function logical_now()
  return math.max(now, clock)
end

-- Moves the clock by `count` timestamps and returns the first of them. Written before anything else, because an
-- error further down doesn't take it back.
local function tick(count)
  local first = math.max(now, clock + 1)
  clock = first + count - 1
  redis.call('HSET', meta, 'clock', text(clock))
  return first
end

-- A first write that is allowed on a full server makes Redis accept those behind it.
local function unlock()
  redis.call('HDEL', meta, '')
end

-- A shard whose data is gone begins a new epoch: cursors from before name another.
local function need_epoch()
  if not epoch then
    redis.call('DEL', meta)
    clock = 0
    local floor = tick(1)
    epoch = ARGV[2]
    redis.call('HSET', meta, 'epoch', epoch, 'floor', text(floor))
  end
end

local function window_grew(model, window)
  local known = redis.call('HGET', meta, 'window:' .. model)
  return known and tonumber(known) < window
end

-- What was trimmed by a shorter window is missing from a longer one: such cursors are refused.
local function need_window(model, window)
  local known = redis.call('HGET', meta, 'window:' .. model)
  if known and tonumber(known) == window then
    return
  end
  if known and tonumber(known) < window then
    redis.call('HSET', meta, 'floor:' .. model, text(tick(1)))
  end
  redis.call('HSET', meta, 'window:' .. model, text(window))
end
