import MoongateConfig
import Testing

@testable import Moongate

/// A guard that guards nothing is refused when it is loaded.
@Suite struct HookNameTests {
    private func faults(_ source: String) -> [String] {
        do {
            _ = try PolicyBench(source)
            return []
        } catch let list as DiagnosticList {
            return list.diagnostics.map(\.description)
        } catch {
            return ["\(error)"]
        }
    }

    @Test(arguments: [
        ("function on_reqest(h) end", "/etc/p.lua:1: there is no hook on_reqest (hint: did you mean \"on_request\"?)"),
        (
            "function on_request(h) end\nfunction on_respones(h) end",
            "/etc/p.lua:2: there is no hook on_respones (hint: did you mean \"on_response\"?)"
        ),
        (
            "function envoy_on_reqest(h) end",
            "/etc/p.lua:1: there is no hook envoy_on_reqest (hint: did you mean \"envoy_on_request\"?)"
        ),
        (
            "function On_Request(h) end",
            "/etc/p.lua:1: there is no hook On_Request (hint: did you mean \"on_request\"?)"
        ),
        (
            "_G['on_' .. 'reqest'] = function() end",
            "/etc/p.lua: there is no hook on_reqest (hint: did you mean \"on_request\"?)"
        ),
    ])
    func misspeltHooksAreErrorsWithDidYouMean(source: String, fault: String) { #expect(faults(source) == [fault]) }

    @Test(arguments: [
        (
            "x = 1",
            "/etc/p.lua: the file has no hooks, so nothing of it ever runs (hint: the hooks are on_init, on_request,"
        ),
        ("", "/etc/p.lua: the file has no hooks"),
        (
            "\nfunction onRequest(h) end",
            "/etc/p.lua:2: the file has no hooks, so nothing of it ever runs (hint: did you mean \"on_request\" by onRequest?)"
        ),
        (
            "function request(h) end",
            "/etc/p.lua:1: the file has no hooks, so nothing of it ever runs (hint: did you mean \"on_request\" by request?)"
        ),
        (
            "\nlocal function on_request(h) end",
            "/etc/p.lua:2: the file has no hooks, so nothing of it ever runs (hint: on_request is local"
        ),
        ("return { on_request = function() end }", "/etc/p.lua: the file has no hooks"),
        ("function on_request(h) end on_request = nil", "/etc/p.lua: the file has no hooks"),
    ])
    func aFileWithoutHooksIsAnError(source: String, fault: String) {
        #expect(faults(source).first?.hasPrefix(fault) == true, "\(faults(source))")
    }

    @Test(arguments: [
        "_G['on_request'] = function(h) end", "for _, n in ipairs{'on_request', 'on_log'} do _G[n] = print end",
        "function on_init(config) end", "function on_log(h) end", "function on_close(config) end",
        "require('moon').timer.every(5, function() end)", "load('function on_request(h) end')()",
        "local function on_helper() end function on_request(h) on_helper() end", "on_grpc_message = print",
    ])
    func hooksMayComeAboutInAnyWay(source: String) { #expect(faults(source) == []) }

    @Test func theSampleOfAMisspeltHookIsRefused() {
        let sample = """
            --- Guards nothing.
            function on_reqest(handle)
              handle:respond({ [":status"] = "403" }, "no")
            end
            """
        #expect(faults(sample) == ["/etc/p.lua:2: there is no hook on_reqest (hint: did you mean \"on_request\"?)"])
    }
}
