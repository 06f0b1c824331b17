extension ValueType<ProcessConfig> {
    static var process: ValueType {
        let yes = ValueType<Void>.alwaysTrue(insteadOfFalse: "remove the key").map { _, _, _ in true }
        return .mapping(
            MappingSchema(
                name: "process",
                summary:
                    "What the process may do itself, see [SECURITY.md](../SECURITY.md#privileges). A change needs a"
                    + " restart.",
                initial: ProcessConfig(),
                fields: [
                    Field(
                        "sandbox", \.sandbox, .choice(),
                        "Which system calls it may make once it serves (seccomp): `standard` refuses those that an edge"
                            + " never needs, such as `ptrace` and `mount`; `strict` also refuses to start programs, and with"
                            + " that SIGUSR2; `off` refuses none. Where the kernel has no seccomp, `standard` logs a warning"
                            + " and `strict` does not start."),
                    Field(
                        "allow_new_privileges", \.allowNewPrivileges, yes,
                        "`true`: what it starts may get more rights than it has (no `PR_SET_NO_NEW_PRIVS`), which a program"
                            + " with file capabilities needs that is upgraded by SIGUSR2. Goes with `sandbox: \"off\"` only."
                    ),
                    Field(
                        "core_dumps", \.coreDumps, yes,
                        "`true`: a crash may leave a file with the process's memory, in which private keys are."),
                ])
        ) { config, mapping, decoding in
            if config.sandbox != .off && config.allowNewPrivileges {
                decoding.report(
                    mapping.location, "the sandbox needs that what the process starts gets no new privileges",
                    hint: "set sandbox: \"off\" as well, or leave allow_new_privileges out")
            }
            return config
        }
    }
}
