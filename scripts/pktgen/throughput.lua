-- What Pktgen does for scripts/pktgen/run: RFC 2544's search for the throughput of whatever lies between its ports 0 and 1,
-- for each size of frames. What it is to do comes by ESPALIER_PKTGEN_* in the environment; each result goes as a line of
-- JSON into a file.
--
-- The first trial is at the highest rate. While more is lost than the bound admits, the rate is halved towards what passed;
-- after that, it goes up and down between the two, until they are near each other.

require "Pktgen"

local function asked(name)
    return os.getenv("ESPALIER_PKTGEN_" .. name) or error("ESPALIER_PKTGEN_" .. name .. " is not set; scripts/pktgen/run sets it")
end

local from, to = "0", "1"
local results = assert(io.open(asked("RESULTS"), "w"))
local progress = assert(io.open(asked("PROGRESS"), "w"))
local seconds = tonumber(asked("SECONDS"))
-- Part of the packets that may be lost.
local bound = tonumber(asked("LOSS")) / 100
local tunnels, flows = tonumber(asked("TUNNELS")), tonumber(asked("FLOWS"))
-- Packets that are still on their way when we stop sending, and the second after which Pktgen reads its counters again.
local settle = 2500
-- The search ends when what passed and what did not are so near, as a part of what did not.
local near = 0.02

-- An IPv4 address so many behind another.
local function behind(address, count)
    local value = 0
    for part in address:gmatch("%d+") do value = value * 256 + tonumber(part) end
    value = value + count
    local parts = {}
    for place = 4, 1, -1 do
        parts[place] = value % 256
        value = value // 256
    end
    return string.format("%d.%d.%d.%d", table.unpack(parts))
end

-- Frames of a size to as many hosts as there are tunnels, each by so many UDP ports.
local function prepare(size)
    local range = pktgen.range
    range.dst_mac(from, "start", asked("MAC"))
    local function fixed(set, value, none)
        for _, what in ipairs({ "start", "min", "max" }) do set(from, what, value) end
        set(from, "inc", none)
    end
    fixed(range.src_ip, asked("SOURCE"), "0.0.0.0")
    range.dst_ip(from, "start", asked("FIRST"))
    range.dst_ip(from, "min", asked("FIRST"))
    range.dst_ip(from, "max", behind(asked("FIRST"), tunnels - 1))
    range.dst_ip(from, "inc", tunnels > 1 and "0.0.0.1" or "0.0.0.0")
    fixed(range.dst_port, 2000, 0)
    range.src_port(from, "start", 1024)
    range.src_port(from, "min", 1024)
    range.src_port(from, "max", 1024 + flows - 1)
    range.src_port(from, "inc", flows > 1 and 1 or 0)
    fixed(range.pkt_size, size, 0)
    range.ip_proto(from, "udp")
    -- The rate is reckoned from this size.
    pktgen.set(from, "size", size)
    pktgen.set(from, "count", 0)
    pktgen.set_range(from, "on")
end

-- Sends at a rate, in percent of the port's.
local function trial(rate)
    pktgen.clr()
    pktgen.set(from, "rate", rate)
    pktgen.delay(settle)
    local earlier_sent, earlier_came = pktgen.portStats(from, "port")[0].opackets, pktgen.portStats(to, "port")[1].ipackets
    pktgen.start(from)
    pktgen.delay(seconds * 1000)
    pktgen.stop(from)
    pktgen.delay(settle)
    local sent = pktgen.portStats(from, "port")[0].opackets - earlier_sent
    local came = pktgen.portStats(to, "port")[1].ipackets - earlier_came
    -- What comes beside ours, as neighbours' talk, is no less lost.
    return { rate = rate, sent = sent, came = came, loss = sent > 0 and math.max(0, sent - came) / sent or 1 }
end

-- Frames of a size a second that the sending port's link has room for: a percent of them is Pktgen's percent. Around each are
-- 20 bytes of preamble and gap.
local function line_rate(size)
    local speed = tonumber((pktgen.linkState(from)[0] or ""):match("(%d+)%-")) or 0
    return speed * 1e6 / ((size + 20) * 8)
end

local function search(size)
    prepare(size)
    local line = line_rate(size)
    local passed, failed, trials = nil, nil, 0
    local rate = 100
    while trials < 16 do
        local done = trial(rate)
        trials = trials + 1
        progress:write(string.format("%d bytes, trial %d: at %.4f %% %d sent, %d received, %.5f %% lost\n",
            size, trials, rate, done.sent, done.came, done.loss * 100))
        progress:flush()
        if done.loss <= bound then
            passed = done
        else
            failed = done
            -- More than what came cannot pass, but for luck: the search goes on not far above it.
            if not passed and done.came > 0 and line > 0 then
                failed.rate = math.min(failed.rate, done.came / seconds / line * 100 * 1.1)
            end
        end
        if not failed or (passed and failed.rate - passed.rate <= near * failed.rate) then break end
        rate = ((passed and passed.rate or 0) + failed.rate) / 2
    end
    local best = passed or { rate = 0, sent = 0, came = 0, loss = failed.loss }
    results:write(string.format(
        '{"size": %d, "tunnels": %d, "flows": %d, "rate_percent": %.4f, "mpps": %.4f, "gbps": %.3f, "sent": %d, ' ..
        '"received": %d, "loss_percent": %.5f, "trials": %d}\n',
        size, tunnels, flows, best.rate, best.came / seconds / 1e6, best.came * size * 8 / seconds / 1e9, best.sent,
        best.came, best.loss * 100, trials))
    results:flush()
end

pktgen.screen("off")
for size in asked("SIZES"):gmatch("%d+") do search(tonumber(size)) end
results:close()
progress:close()
pktgen.quit()
