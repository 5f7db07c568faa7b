-- Posts each delivery of a file once: eight digits with the length of a request, the request, and so on.
-- One thread only, as each has a state of its own and would read the same file from its beginning.
local file

function init(args)
  file = assert(io.open(args[1], "rb"))
end

function request()
  local length = assert(file:read(8), "the deliveries are used up")
  return file:read(tonumber(length))
end

-- No response(): taking answers apart in Lua would cost the cores that are measured. What was answered is
-- counted by wrk (statuses) and by the relay's metrics (duplicates, and all else).
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"answers":%d,"seconds":%f,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
