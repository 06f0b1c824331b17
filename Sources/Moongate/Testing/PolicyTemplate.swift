import Foundation
import MoongateConfig

/// What `moongate new policy` writes.
public struct PolicyTemplate {
    private let name: String

    /// - Throws: `PolicyTemplateFault` for names that cannot be a folder's and a policy's.
    public init(name: String) throws(PolicyTemplateFault) {
        let isPlain = name.utf8.allSatisfy { byte in
            (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D || byte == 0x5F
        }
        guard isPlain, let first = name.utf8.first, (0x61...0x7A).contains(first), name.utf8.count <= 64 else {
            throw PolicyTemplateFault(
                description: "a policy's name has lower-case letters, digits, - and _, and begins with a letter")
        }
        self.name = name
    }

    /// Writes the policy's folder into `directory`.
    ///
    /// - Returns: the files that were written.
    /// - Throws: `PolicyTemplateFault` if the folder exists or cannot be written; then nothing of what is there changes.
    public func write(to directory: AbsolutePath) throws(PolicyTemplateFault) -> [AbsolutePath] {
        let folder = directory.appending(name)
        guard !FileManager.default.fileExists(atPath: folder.text) else {
            throw PolicyTemplateFault(description: "\(folder) exists already")
        }
        do {
            try FileManager.default.createDirectory(atPath: folder.text, withIntermediateDirectories: true)
            let files = [("init.lua", source), ("\(name)_spec.lua", spec), ("README.md", readme)]
            for (file, text) in files {
                try Data(text.utf8).write(to: URL(fileURLWithPath: folder.appending(file).text))
            }
            return files.map { folder.appending($0.0) }
        } catch {
            throw PolicyTemplateFault(description: "\(folder) cannot be written: \(error.localizedDescription)")
        }
    }

    private var source: String {
        """
        --- \(name): say here what it does.
        --
        -- Settings:
        --   header  name of the header that requests must have; required

        local KNOWN = { header = "string" }

        ---@param config table
        function on_init(config)
          for name, value in pairs(config) do
            if not KNOWN[name] then
              error(("unknown setting %q (known: header)"):format(name), 0)
            elseif type(value) ~= KNOWN[name] then
              error(("%s must be a %s"):format(name, KNOWN[name]), 0)
            end
          end
          if not config.header then error("header is missing", 0) end
        end

        ---@param handle Handle
        function on_request(handle)
          local name = handle:config().header
          if not handle:headers():has(name) then
            handle:respond({ [":status"] = "403" }, "the header " .. name .. " is needed")
          end
        end

        """
    }

    private var spec: String {
        """
        describe("\(name)", function()
          local policy

          before_each(function() policy = load_policy("\(name)", { header = "x-team" }) end)

          it("lets requests with the header through", function()
            local result = policy:request { grpc = "/shop.Cart/Add", headers = { ["x-team"] = "checkout" } }
            expect(result.verdict):to_equal("proceeded")
          end)

          it("turns others away", function()
            local result = policy:request { grpc = "/shop.Cart/Add" }
            expect(result.grpc_status):to_equal(7)
            expect(result.grpc_message):to_contain("x-team")
          end)

          it("refuses settings that cannot be meant", function()
            expect(function() load_policy("\(name)", {}) end):to_raise("header is missing")
            expect(function() load_policy("\(name)", { heeder = "x" }) end):to_raise('unknown setting "heeder"')
            expect(function() load_policy("\(name)", { header = 5 }) end):to_raise("header must be a string")
          end)
        end)

        """
    }

    private var readme: String {
        """
        # \(name)

        Say here what it does. Requests without the header get `PERMISSION_DENIED` (7), or 403 without gRPC.

        | Setting | Meaning | Default |
        |---|---|---|
        | `header` | name of the header that requests must have | required |

        ```yaml
        policies:
          - \(name): {header: x-team}
        ```

        """
    }
}

/// Why no policy could be made.
public struct PolicyTemplateFault: Error, CustomStringConvertible {
    public var description: String
}
