import COpenSSL
import Glibc
import MoongateConfig

/// When a file of certificates ends to be good, for metrics and warnings.
struct CertificateExpiry: Sendable, Equatable {
    enum Owner: Sendable, Equatable {
        case listener(String)
        case upstream(String)

        /// The label of metrics.
        var side: String {
            switch self {
            case .listener: "listener"
            case .upstream: "upstream"
            }
        }

        /// In the configuration.
        var name: String {
            switch self {
            case .listener(let name), .upstream(let name): name
            }
        }
    }
    enum Kind: String, Sendable, Equatable {
        /// One's own.
        case certificate
        /// The authorities that are trusted.
        case authorities = "ca"
        /// Lists of revoked certificates: beyond it, every certificate is refused.
        case revocationLists = "crl"
    }

    let owner: Owner
    let kind: Kind
    let file: String
    /// Of the first that ends, in seconds since 1970; 0: it has no end.
    let notAfter: Int64

    /// What a person should know who has two weeks to do something about it.
    static let notice: Int64 = 14 * 86_400

    /// `nil`: nothing to say for now. `notBefore` is the last beginning among the file's certificates.
    func warning(notBefore: Int64 = 0, now: Int64 = Int64(time(nil))) -> Diagnostic? {
        if notBefore > now {
            return PEMFile.fault(file, "the \(noun) is not valid yet: from \(CertificateExpiry.day(notBefore)) on")
        }
        guard notAfter > 0, notAfter - now < CertificateExpiry.notice else { return nil }
        let day = CertificateExpiry.day(notAfter)
        if notAfter < now { return PEMFile.fault(file, "the \(noun) has expired: on \(day)") }
        let days = (notAfter - now) / 86_400
        return PEMFile.fault(
            file, "the \(noun) expires in \(days) day\(days == 1 ? "" : "s"): on \(day)", hint: "renew it")
    }

    private var noun: String {
        switch kind {
        case .certificate: "certificate"
        case .authorities: "certificate of an authority"
        case .revocationLists: "revocation list"
        }
    }

    /// `2026-12-01`, in UTC.
    private static func day(_ seconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = tm()
        guard gmtime_r(&time, &parts) != nil else { return "\(seconds)" }
        let numbers = [parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday]
        return numbers.map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(separator: "-")
    }
}
