// swift-tools-version: 6.1
import PackageDescription

let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny")]

// Set by scripts/fuzz, whose builds are optimised and have every check all the same.
let isFuzzing = Context.environment["MOONGATE_FUZZ"] != nil

// Checks of exclusive access at run time cost 4 % of a request. Builds for development and tests keep them, and a release
// that met such a fault could only end the process. Stale handles on pooled records (CHECKED, see PoolSlot) are noticed
// in every build but a release.
let fast: [SwiftSetting] =
    isFuzzing
    ? strict + [.define("CHECKED")]
    : strict + [
        .define("CHECKED", .when(configuration: .debug)),
        .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
    ]

let fuzzed: [Target.Dependency] = [
    "CMoongate", "COpenSSL", "Moongate", "MoongateConfig", "MoongateLint", "MoongateLua",
]

let package = Package(
    name: "moongate",
    products: [
        .executable(name: "moongate", targets: ["MoongateCommand"]),
        .executable(name: "policy-benchmark", targets: ["PolicyBenchmark"]),
        .executable(name: "request-benchmark", targets: ["RequestBenchmark"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    ],
    targets: [
        // System libraries: a module map and a shim header each. libnghttp2 is the peer that unit tests of HTTP/2 compare with.
        .systemLibrary(name: "CCares", pkgConfig: "libcares", providers: [.apt(["libc-ares-dev"])]),
        .systemLibrary(name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CLua", pkgConfig: "lua5.4", providers: [.apt(["liblua5.4-dev"])]),
        .systemLibrary(name: "CCrypt", providers: [.apt(["libcrypt-dev"])]),
        // Compiled C: the longjmp fence of the Lua bindings and the system calls Swift cannot spell.
        .target(name: "CMoongate", dependencies: ["CLua"]),
        // RE2 behind a C face, for header patterns that match in linear time.
        .target(name: "CRE2", linkerSettings: [.linkedLibrary("re2")]),

        .target(
            name: "MoongateConfig",
            // For libyaml (its module CYaml): values are built from its events, since a tree of a long list would take too much.
            dependencies: [.product(name: "Yams", package: "Yams")],
            swiftSettings: strict),
        // Looks at policy files without running them.
        .target(name: "MoongateLint", dependencies: ["MoongateConfig"], swiftSettings: strict),
        .target(name: "MoongateLua", dependencies: ["CLua", "CMoongate"], swiftSettings: strict),
        .target(
            name: "Moongate",
            dependencies: [
                "CCares", "CCrypt", "COpenSSL", "CMoongate", "CRE2", "MoongateConfig", "MoongateLint", "MoongateLua",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: fast),
        .executableTarget(
            name: "MoongateCommand",
            dependencies: [
                "Moongate", "MoongateConfig", "MoongateLint",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),

        // What policies cost, for scripts/bench/policy.
        .executableTarget(
            name: "PolicyBenchmark",
            dependencies: ["Moongate", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict),

        // What a request costs, for scripts/bench/instructions.
        .executableTarget(
            name: "RequestBenchmark",
            dependencies: ["Moongate", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict,
            // For Lua, which is to find it in place of the C library's.
            linkerSettings: [.unsafeFlags(["-Xlinker", "--export-dynamic-symbol=time"])]),

        .testTarget(
            name: "MoongateConfigTests", dependencies: ["MoongateConfig"], exclude: ["Cases"], swiftSettings: strict),
        .testTarget(
            name: "MoongateLintTests", dependencies: ["Moongate", "MoongateLint", "MoongateLua"], swiftSettings: strict),
        .testTarget(name: "MoongateLuaTests", dependencies: ["MoongateLua"], swiftSettings: strict),
        .testTarget(name: "MoongateTests", dependencies: ["CNghttp2", "Moongate"], swiftSettings: strict),
        // The fuzzing targets, here with the inputs of their corpora.
        .testTarget(
            name: "MoongateFuzzTests", dependencies: fuzzed, exclude: ["Corpus", "Driver"], swiftSettings: strict),
    ]
)

// The same targets under libFuzzer: only for scripts/fuzz, since they see what modules keep to themselves.
if isFuzzing {
    package.targets.removeAll { $0.type == .test }
    package.targets.append(
        .executableTarget(
            name: "MoongateFuzz", dependencies: fuzzed, path: "Tests/MoongateFuzzTests",
            exclude: ["Corpus", "CorpusTests.swift", "WorldTests.swift"], swiftSettings: strict))
}
