-- Posts the bodies of a file in turn, each event with a messageId of its own. Arguments: path, file, authorization.
-- In the file: one body a line, "@@" where the number of an event belongs.
local bodies, path, turn, serial = {}, "", 0, 0

function init(args)
  path = args[1]
  for line in io.lines(args[2]) do
    local pieces, from = {}, 1
    while true do
      local at = line:find("@@", from, true)
      if not at then break end
      pieces[#pieces + 1] = line:sub(from, at - 1)
      pieces[#pieces + 1] = ""
      from = at + 2
    end
    pieces[#pieces + 1] = line:sub(from)
    bodies[#bodies + 1] = pieces
  end
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = args[3]
end

function request()
  turn = turn % #bodies + 1
  local pieces = bodies[turn]
  for place = 2, #pieces, 2 do
    serial = serial + 1
    pieces[place] = string.format("%012d", serial)
  end
  return wrk.format("POST", path, nil, table.concat(pieces))
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %f, "refused": %d, "failed": %d, "p50_ms": %f, "p99_ms": %f}',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
