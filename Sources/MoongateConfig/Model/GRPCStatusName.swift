/// The statuses of gRPC other than OK, by the words of the configuration, in the order of their numbers.
public enum GRPCStatusName: String, Sendable, CaseIterable {
    case cancelled, unknown
    case invalidArgument = "invalid_argument"
    case deadlineExceeded = "deadline_exceeded"
    case notFound = "not_found"
    case alreadyExists = "already_exists"
    case permissionDenied = "permission_denied"
    case resourceExhausted = "resource_exhausted"
    case failedPrecondition = "failed_precondition"
    case aborted
    case outOfRange = "out_of_range"
    case unimplemented, `internal`, unavailable
    case dataLoss = "data_loss"
    case unauthenticated

    /// As `grpc-status` has it, 1 to 16.
    public var code: Int { (GRPCStatusName.allCases.firstIndex(of: self) ?? 0) + 1 }
}
