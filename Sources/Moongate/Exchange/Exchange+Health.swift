/// The health of the edge itself, for balancers in front: `grpc.health.v1.Health/Check` on listeners with `grpc_health`.
extension Pooled where Record == ExchangeRecord {
    /// Answers the request if that is what it is.
    @inline(__always) func answeredHealthCheck() -> Bool {
        guard let generation = self.generationReference,
            generation._withUnsafeGuaranteedRef({ $0.shared.hasHealthService })
        else { return false }
        return answerHealthCheck()
    }

    private func answerHealthCheck() -> Bool {
        guard self.isGRPC, let path = self.request.value(.path), path.equals(Bytes(GRPCHealth.checkPath)),
            let host = self.host, let facts = self.facts, let generation = self.generation?.shared
        else { return false }
        let listener = generation.listenerIndex(facts.listener)
        guard listener >= 0, generation.config.listeners[listener].grpcHealth else { return false }
        self.response.reset()
        self.response.add(":status", "200")
        self.response.add("content-type", "application/grpc")
        GRPCHealth.answer(generation.process.isDraining ? .notServing : .serving).withBytes { message in
            self.responseBody.append(message, host.loop.blocks)
        }
        LocalReply.appendTrailers(to: self.responseTrailers, status: .ok, message: .empty)
        self.httpStatus = 200
        self.termination = Bytes("health_check")
        answerIsComplete()
        return true
    }
}
