import CMoongate
import MoongateLua

/// `moon.jwt`: checking and making JSON Web Tokens.
enum JWTBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.jwtVerifier, name: "jwt verifier",
            summary: "Checks tokens by keys that were parsed once, made by `moon.jwt.verifier`.",
            bindings: [
                LuaBinding(
                    "verify", "s", type: "(token: string): table?, string?",
                    doc: """
                        The claims of a token whose signature and claims are right, or nil and the reason: `expired`, \
                        `wrong signature`, `unknown key`, `wrong issuer`, … A token that was right is remembered until it \
                        ends, for five minutes at most.
                        """, verify),
                LuaBinding(
                    "setKeys", "v", type: "(jwks: string|table): boolean?, string?",
                    doc: """
                        Other keys from now on, from a JSON Web Key Set as text or table. Keys of type `oct` are left out: a \
                        set that can be fetched holds no secrets. nil and the reason if there is no usable key in it: the \
                        keys stay as they were. With `jwks_upstream` it ends what `beginFetch` began, and all verifiers of \
                        the set have the keys.
                        """, setKeys),
                LuaBinding(
                    "beginFetch", "n", type: "(seconds: number): boolean",
                    doc: """
                        Whether the caller is to fetch the set of `jwks_upstream` now: it is not known, or older than \
                        `seconds`, or `wantKeys` asked for it, and nobody else fetches it on any worker. `setKeys` or \
                        `failFetch` follows; after 6 seconds without them the next caller may.
                        """, beginFetch),
                LuaBinding(
                    "failFetch", "", type: "()",
                    doc: """
                        The fetch that `beginFetch` began has failed: the keys stay, and 5 seconds pass until the next one, \
                        or the time between two fetches if that is shorter.
                        """, failFetch),
                LuaBinding(
                    "wantKeys", "", type: "(): boolean",
                    doc: """
                        A token names a key that is not in the set of `jwks_upstream`: the set is due before its time, \
                        unless it was fetched within 10 seconds. Whether a fetch is due or under way.
                        """, wantKeys),
                LuaBinding(
                    "hasKeys", "", type: "(): boolean", doc: "Whether there are keys to check tokens by.", hasKeys),
            ],
            release: release)
    }

    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "jwt.verifier", "=t", type: "(options: table): JwtVerifier",
                doc: """
                    A verifier by these options: `key` (a public key or certificate in PEM), or `secret` (one that signer and \
                    verifier share, for HMACs), or `jwks` (a JSON Web Key Set of public keys as text or table), or \
                    `secret_jwks` (one of secrets, whose type is `oct`), or `jwks_upstream` with `jwks_path` (a set that all workers \
                    share and that `beginFetch` keeps fresh; `max_age` are the seconds, a day unless it says so, for which it is \
                    used without a later fetch that succeeds), or none of them until `setKeys`; `algorithms` (a \
                    list; without it all that fit the keys, never `none`), `issuer`, `audience`, `subject` (a text or a list \
                    of allowed ones), `required` (claims that must be there), `leeway` (seconds that clocks may differ; 0), \
                    `cache` (tokens that are remembered; 1024). A text is what its option says: a `key` without PEM and a \
                    `secret` that holds a key are errors.
                    """, constructs: PolicyClasses.jwtVerifier, make),
            LuaBinding(
                "jwt.verify", "st", type: "(token: string, options: table): table?, string?",
                doc: """
                    Checks one token by the options of `moon.jwt.verifier`, with keys that are parsed for this call: in hooks \
                    a verifier made in `on_init` is much faster.
                    """, verifyOnce),
        ]
    }

    static var signing: LuaBinding {
        LuaBinding(
            "jwt.sign", "tt", type: "(claims: table, options: table): string",
            doc: """
                A signed token with these claims. Options: `alg` (`HS256`, `RS256`, `PS256`, `ES256`, `EdDSA`, …), `key` (a \
                private key in PEM) or, for the algorithms `HS…`, `secret`, and `kid`.
                """, sign)
    }

    // MARK: Verifiers

    private static let make: mg_leaf = { call in
        do throws(JWTFault) {
            let verifier = try JWTOptions(TapeView(argument: 0, of: call), "moon.jwt.verifier").verifier(
                sets: call.engine?.services.registry.state.keySets)
            call.pointee.created = Unmanaged.passRetained(verifier).toOpaque()
            call.pointee.created_size = verifier.size
            return MG_RETURN
        } catch {
            return call.fail(error.message)
        }
    }

    private static let release: @convention(c) (UnsafeMutableRawPointer) -> Void = {
        Unmanaged<JWTVerifier>.fromOpaque($0).release()
    }

    private static func verifier(_ call: BindingCall) -> JWTVerifier? {
        call.pointee.object?.pointee.native.map { Unmanaged<JWTVerifier>.fromOpaque($0).takeUnretainedValue() }
    }

    private static let verify: mg_leaf = { call in
        guard let verifier = verifier(call) else { return MG_RETURN }
        return verify(call, verifier)
    }

    private static let verifyOnce: mg_leaf = { call in
        do throws(JWTFault) {
            let options = try JWTOptions(TapeView(argument: 1, of: call), "moon.jwt.verify")
            return verify(call, try options.verifier(cacheCapacity: 0))
        } catch {
            return call.fail(error.message)
        }
    }

    private static func verify(_ call: BindingCall, _ verifier: JWTVerifier) -> mg_action {
        guard let engine = call.engine else { return call.fail("there is no clock here") }
        let clock = engine.services.registry.state.clock
        verifier.follow(engine.upstreams, instant: clock.now())
        switch verifier.verify(call.bytes(0), now: Double(clock.unixMicroseconds()) / 1e6, instant: clock.now()) {
        case .refused(let reason): return call.refuse(reason)
        case .claims(let claims):
            guard let root = claims.root, root.copy(to: call.pointee.output) else {
                return call.refuse("malformed: too many claims")
            }
            engine.kept = claims
            return MG_RETURN
        }
    }

    private static let setKeys: mg_leaf = { call in
        guard let verifier = verifier(call) else { return MG_RETURN }
        do throws(JWTFault) {
            // Other verifiers of a shared set may allow other algorithms.
            let wanted = verifier.feed == nil ? verifier.rules.algorithms : nil
            let keys = try JWTOptions.keySet(TapeView(argument: 0, of: call), kind: .fetched, wanted)
            if let feed = verifier.feed {
                guard feed.finish(keys.keys, call.engine?.upstreams, now: now(call)) else {
                    return call.refuse("the fetch was given up, or the upstream has changed meanwhile")
                }
            } else {
                verifier.use(keys)
            }
            call.give(true)
            return MG_RETURN
        } catch {
            return call.refuse(error.description)
        }
    }

    private static func now(_ call: BindingCall) -> Instant {
        call.engine?.services.registry.state.clock.now() ?? Clock.now()
    }

    private static let beginFetch: mg_leaf = { call in
        let seconds = call.pointee.arguments[0].number
        let isOurs =
            verifier(call)?.feed?.begin(
                call.engine?.upstreams, refresh: HTTPOrder.nanoseconds(seconds), now: now(call)) ?? false
        call.give(isOurs)
        return MG_RETURN
    }

    private static let failFetch: mg_leaf = { call in
        _ = verifier(call)?.feed?.finish(nil, call.engine?.upstreams, now: now(call))
        return MG_RETURN
    }

    private static let wantKeys: mg_leaf = { call in
        call.give(verifier(call)?.feed?.want(call.engine?.upstreams, now: now(call)) ?? false)
        return MG_RETURN
    }

    private static let hasKeys: mg_leaf = { call in
        guard let verifier = verifier(call) else { return MG_RETURN }
        verifier.follow(call.engine?.upstreams, instant: now(call))
        call.give(verifier.keys != nil)
        return MG_RETURN
    }

    // MARK: Signing

    private static let sign: mg_leaf = { call in
        do throws(JWTFault) {
            return call.give(copyOf: try token(TapeView(argument: 0, of: call), TapeView(argument: 1, of: call)))
        } catch {
            return call.fail("moon.jwt.sign: \(error.message)")
        }
    }

    private static func token(_ claims: TapeView, _ options: TapeView) throws(JWTFault) -> [UInt8] {
        for entry in options.entries {
            guard let name = entry.key.bytes, ["alg", "key", "kid", "secret"].contains(name.string) else {
                throw JWTFault("unknown option (known: alg, key, kid, secret)")
            }
        }
        guard let algorithm = options.member("alg")?.bytes.flatMap(JWTAlgorithm.init) else {
            throw JWTFault("alg must be one of \(known: JWTAlgorithm.allCases.map(\.rawValue))")
        }
        let key = try signingKey(options)
        guard key.fits(algorithm) else { throw key.misfit(algorithm) }
        let signed =
            Base64.encodedURL(try header(algorithm, options.member("kid"))) + [UInt8(ascii: ".")]
            + Base64.encodedURL(try json(claims))
        let signature = signed.withUnsafeBufferPointer { buffer in
            buffer.baseAddress.flatMap { key.sign(Bytes($0, buffer.count), by: algorithm) }
        }
        guard let signature else { throw JWTFault("the key cannot sign") }
        return signed + [UInt8(ascii: ".")] + Base64.encodedURL(signature)
    }

    private static func signingKey(_ options: TapeView) throws(JWTFault) -> JWTKey {
        switch (options.member("key"), options.member("secret")) {
        case (let key?, nil): try JWTKey.privatePEM(try JWTOptions.text(key, "key"))
        case (nil, let secret?): JWTKey(secret: try JWTSecret(try JWTOptions.text(secret, "secret")))
        case (nil, nil): throw JWTFault("key or secret is missing")
        default: throw JWTFault("key and secret exclude each other")
        }
    }

    private static func header(_ algorithm: JWTAlgorithm, _ name: TapeView?) throws(JWTFault) -> [UInt8] {
        var text = Array("{\"alg\":\"\(algorithm.rawValue)\",\"typ\":\"JWT\"".utf8)
        if let name {
            guard name.bytes != nil else { throw JWTFault("kid must be a text") }
            text += Array(",\"kid\":".utf8) + (try json(name))
        }
        return text + [UInt8(ascii: "}")]
    }

    private static func json(_ value: TapeView) throws(JWTFault) -> [UInt8] {
        var writer = JSONWriter()
        do throws(JSONFault) {
            try writer.write(value)
        } catch {
            throw JWTFault(error.text)
        }
        return writer.text
    }
}
