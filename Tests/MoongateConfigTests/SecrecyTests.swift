import Testing

@testable import MoongateConfig

/// Values are shown only where the schema says so.
@Suite struct SecrecyTests {
    private static let secret = "tOp-SeCrEt-42"

    private func faults(_ text: String) -> String {
        do {
            _ = try ConfigurationParser.parse(text, file: "/m.yaml")
            return ""
        } catch {
            return error.description
        }
    }

    private func configuration(_ more: String) -> String { "listeners: [{address: ':1'}]\n" + more }

    @Test(arguments: [
        "secrets: {s: VALUE}", "secrets: {s: {file: VALUE, env: VALUE}}", "secrets: {s: {env: VALUE}}",
        "secrets: {s: [VALUE]}",
        "secrets: {s: {VALUE: x}}", "secrets: VALUE", "secrets: [VALUE]", "secrets: {s: {env: [VALUE]}}",
        "secrets: {s: !VALUE x}", "secrets: {s: {file: \"VALUE\\0\"}}",
    ])
    func faultsAboutSecretsNeverQuoteTheValue(text: String) {
        let said = faults(configuration(text.replacing("VALUE", with: SecrecyTests.secret)))
        #expect(!said.isEmpty && !said.contains(SecrecyTests.secret), "\(said)")
        #expect(said.contains("/m.yaml:2:"))
    }

    @Test(arguments: [
        "request_headers: {set: {x-key: '%{VALUE}'}}", "request_headers: {set: {x-key: '%VALUE'}}",
        "request_headers: {set: {x-key: \"VALUE\\x01\"}}", "request_headers: {set: [VALUE]}", "request_headers: VALUE",
        "request_headers: {set: {x-key: [VALUE]}}", "metadata: VALUE", "metadata: {space: VALUE}",
        "filter_context: VALUE",
        "filter_context: {a: 9999999999999999999, b: VALUE}",
        "match: {headers: [{name: x-key, exact: \"VALUE\\x01\"}]}",
        "match: {headers: [VALUE]}", "policies: [{jwt-auth: VALUE}]", "policies: [{policy: a, settings: VALUE}]",
        "filter_context: {VALUE: 1, VALUE: 2}", "metadata: {VALUE: {}, <<: VALUE}",
        "policies: [{api-key: {k: !VALUE x}}]",
    ])
    func faultsAboutFieldsThatMayHoldSecretsDoNotQuote(text: String) {
        let route = "upstreams: {u: {endpoints: ['a:1']}}\nroutes:\n  - name: r\n    upstream: u\n    "
        let said = faults(configuration(route + text.replacing("VALUE", with: SecrecyTests.secret)))
        #expect(!said.isEmpty && !said.contains(SecrecyTests.secret), "\(said)")
    }

    @Test func brokenYAMLIsToldWithoutItsText() {
        for text in [
            "secrets: {s: VALUE", "secrets:\n  s: \"VALUE", "secrets:\n\t- VALUE: [", "s: *VALUE", "s: @VALUE",
            "- VALUE\ns: x",
        ] {
            let said = faults(text.replacing("VALUE", with: "tOpSeCrEt42"))
            #expect(!said.isEmpty && !said.contains("tOpSeCrEt42"), "\(said)")
        }
    }

    @Test func dataFilesAreToldWithoutTheirText() {
        for text in [
            "VALUE: 1\nVALUE: 2\n", "a: !VALUE x", "a: [VALUE", "<<: VALUE", "a: 99999999999999999999 # VALUE",
        ] {
            do throws(DiagnosticList) {
                _ = try DataFile.yaml(
                    Array(text.replacing("VALUE", with: SecrecyTests.secret).utf8), path: "/keys.yaml")
                Issue.record("\(text) is taken")
            } catch {
                #expect(!error.description.contains(SecrecyTests.secret), "\(error)")
            }
        }
    }

    /// The default of the schema: a text whose form nobody has marked is not shown.
    @Test func aFieldIsNotShownUnlessItSaysSo() {
        #expect(!TextShape(name: "text").isShown && TextShape(name: "text").shown.isShown)
        #expect(!ShownValues(.text(TextShape(name: "text"))).isShown && !ShownValues(.anyMapping).isShown)
        #expect(!ShownValues(ValueType<RouteConfig>.route.shape).member("no_such_field").isShown)
        #expect(ShownValues(ValueType<RouteConfig>.route.shape).member("mirrors").member("upstream").isShown)
    }

    @Test func viewsShowShapesInPlaceOfValues() throws {
        let text = configuration(
            """
            upstreams: {u: {endpoints: ['a:1'], tls: {ca: /etc/ca.pem, server_name: a.example}, hash_on: [{header: x-user}], balance: maglev}}
            routes:
              - name: r
                upstream: u
                timeout: 30s
                request_headers: {set: {x-key: VALUE, authorization: 'Bearer VALUE'}, remove: [x-old]}
                response_headers: {add: {x-b: VALUE}}
                response_trailers: {set: {x-t: VALUE}}
                rewrite: {path_prefix: /v2}
                mirror: [{upstream: u}]
                metadata: {space: {VALUE: VALUE, n: 5}}
                filter_context: {key: VALUE, list: [VALUE]}
                hedge: {methods: [a.B/C]}
            """.replacing("VALUE", with: SecrecyTests.secret))
        let config = try ConfigurationParser.parse(text, file: "/m.yaml")
        let route = JSONValue.object(SettingsView.settings(of: config.routes[0])).text()
        let upstream = JSONValue.object(SettingsView.settings(of: config.upstreams[0])).text()
        #expect(!route.contains(SecrecyTests.secret), "\(route)")
        for shown in [
            "x-key", "authorization", "x-old", "30s", "/v2", "<mapping of 2>", "\"space\"", "a.B/C", "<hidden>",
        ] {
            #expect(route.contains(shown), "\(shown): \(route)")
        }
        for shown in ["a:1", "/etc/ca.pem", "a.example", "x-user", "maglev"] {
            #expect(upstream.contains(shown), "\(shown): \(upstream)")
        }
    }
}
