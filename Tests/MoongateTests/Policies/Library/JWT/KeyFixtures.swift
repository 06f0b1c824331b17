/// Keys in all the forms that tools write, made for the tests.
enum KeyFixtures {
    static let curvePublic = """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExEEooR2yQvZKZmxopnVJjI7HJPd0
        KJTR7pTMyfT6TRxPV4/zgAikVt9zF3WhoXxnBeKKB/EWwTBLwOhELXcqrw==
        -----END PUBLIC KEY-----

        """
    static let otherPublic = """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4mIqytSpy2BY1vOYy5LSPnfbyeQ8
        yx+IwSZ9MtO/OZMPA59FpK4AlZhIzCn5vLQ5nIKKYN1atShawYbY2L8Awg==
        -----END PUBLIC KEY-----

        """
    static let rsaPublic = """
        -----BEGIN PUBLIC KEY-----
        MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2anSX9eufBfRs/dw/INv
        1kPhtmkRMgJvApJktB97yfZE/OpYDEyM9UBqS6gwWxjDwmirtmaeZ/I4safQNDtn
        ujJxXDMD0aDPHFLjcr2l+g6vtq2QN7YZ8FuE+J+rXCzqNqkQsViuRe2Fo5YyHAP0
        PMzxD+HCeYk3zfbq4pXGCtVat2DymO9fWDL+fCljItapcZmCPPsQQSgY8bQzDsNh
        M3snjKc8/huYE6y5QfYeJOpLf8mapTv6GzaE4w6t60ePIuTogf+QXB4PL6+Vi/mc
        hcWrekKNeDDw2U22laqjGEjWEMF2Rzxce4IrUiFu5eoDUTpFhsunFnHxr9kVjhZA
        QwIDAQAB
        -----END PUBLIC KEY-----

        """
    static let rsaPKCS1 = """
        -----BEGIN RSA PUBLIC KEY-----
        MIIBCgKCAQEA2anSX9eufBfRs/dw/INv1kPhtmkRMgJvApJktB97yfZE/OpYDEyM
        9UBqS6gwWxjDwmirtmaeZ/I4safQNDtnujJxXDMD0aDPHFLjcr2l+g6vtq2QN7YZ
        8FuE+J+rXCzqNqkQsViuRe2Fo5YyHAP0PMzxD+HCeYk3zfbq4pXGCtVat2DymO9f
        WDL+fCljItapcZmCPPsQQSgY8bQzDsNhM3snjKc8/huYE6y5QfYeJOpLf8mapTv6
        GzaE4w6t60ePIuTogf+QXB4PL6+Vi/mchcWrekKNeDDw2U22laqjGEjWEMF2Rzxc
        e4IrUiFu5eoDUTpFhsunFnHxr9kVjhZAQwIDAQAB
        -----END RSA PUBLIC KEY-----

        """
    static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBCjCBsaADAgECAgEBMAoGCCqGSM49BAMCMA4xDDAKBgNVBAMMA2lkcDAgFw0y
        NjAxMDEwMDAwMDBaGA8yMDU2MDEwMTAwMDAwMFowDjEMMAoGA1UEAwwDaWRwMFkw
        EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExEEooR2yQvZKZmxopnVJjI7HJPd0KJTR
        7pTMyfT6TRxPV4/zgAikVt9zF3WhoXxnBeKKB/EWwTBLwOhELXcqrzAKBggqhkjO
        PQQDAgNIADBFAiAqArmEL+3ozEXIiXun4hqEsm1r0ZnE+aToVEe6n2fFKwIhAIia
        sanFaVzybG0KPn7y2s9SEFmCV/GTp8UzEqVtmNjI
        -----END CERTIFICATE-----

        """
    static let otherCertificate = """
        -----BEGIN CERTIFICATE-----
        MIIBFTCBvaADAgECAgEBMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMMCWF1dGhvcml0
        eTAgFw0yNjAxMDEwMDAwMDBaGA8yMDU2MDEwMTAwMDAwMFowFDESMBAGA1UEAwwJ
        YXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4mIqytSpy2BY1vOY
        y5LSPnfbyeQ8yx+IwSZ9MtO/OZMPA59FpK4AlZhIzCn5vLQ5nIKKYN1atShawYbY
        2L8AwjAKBggqhkjOPQQDAgNHADBEAiAM34+un07RhDusBtqVGSwDLFJA75c9A71X
        CyKSMfk89AIgAMRfSYqmco5vAYSmIeGwG3+PskJp14Q3nt52SbcxYu4=
        -----END CERTIFICATE-----

        """
    static let request = """
        -----BEGIN CERTIFICATE REQUEST-----
        MIHHMG4CAQAwDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
        BMRBKKEdskL2SmZsaKZ1SYyOxyT3dCiU0e6UzMn0+k0cT1eP84AIpFbfcxd1oaF8
        ZwXiigfxFsEwS8DoRC13Kq+gADAKBggqhkjOPQQDAgNJADBGAiEA43FricXwIeVl
        QrxXDn1aPzcUAqlmK5zHnV7m6cAFlPwCIQCTrLGeJBqCgUUvwBob5FOf0739JKQt
        FjF7Lx3aN68vCA==
        -----END CERTIFICATE REQUEST-----

        """
    static let curvePrivate = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg2n7foU7o+zKDyrML
        hMOfxbO0b3kc3qUj1X2tWB9HPaqhRANCAATEQSihHbJC9kpmbGimdUmMjsck93Qo
        lNHulMzJ9PpNHE9Xj/OACKRW33MXdaGhfGcF4ooH8RbBMEvA6EQtdyqv
        -----END PRIVATE KEY-----

        """
    static let curveTraditional = """
        -----BEGIN EC PRIVATE KEY-----
        MHcCAQEEINp+36FO6Psyg8qzC4TDn8WztG95HN6lI9V9rVgfRz2qoAoGCCqGSM49
        AwEHoUQDQgAExEEooR2yQvZKZmxopnVJjI7HJPd0KJTR7pTMyfT6TRxPV4/zgAik
        Vt9zF3WhoXxnBeKKB/EWwTBLwOhELXcqrw==
        -----END EC PRIVATE KEY-----

        """
    static let rsaTraditional = """
        -----BEGIN RSA PRIVATE KEY-----
        MIIEpAIBAAKCAQEA2anSX9eufBfRs/dw/INv1kPhtmkRMgJvApJktB97yfZE/OpY
        DEyM9UBqS6gwWxjDwmirtmaeZ/I4safQNDtnujJxXDMD0aDPHFLjcr2l+g6vtq2Q
        N7YZ8FuE+J+rXCzqNqkQsViuRe2Fo5YyHAP0PMzxD+HCeYk3zfbq4pXGCtVat2Dy
        mO9fWDL+fCljItapcZmCPPsQQSgY8bQzDsNhM3snjKc8/huYE6y5QfYeJOpLf8ma
        pTv6GzaE4w6t60ePIuTogf+QXB4PL6+Vi/mchcWrekKNeDDw2U22laqjGEjWEMF2
        Rzxce4IrUiFu5eoDUTpFhsunFnHxr9kVjhZAQwIDAQABAoIBABJHsONbucuyNGpo
        3ZRXdY0JJmurZ0ZL7gbJRKvb+Ql9JU4YYEyoIS53unWgKm98JPSu1bz74VHZhell
        rpa0ZoG8usiDgE6assouK+v3AXl+wkMVUIddQ9Br3z8CKeIT45ezmzNJv1kgGZkj
        hBHWQyzYCWbMDwkl/QnPMurUqU0/dheKADx6VYZPf63eEx3tXJnoPcyRjsEvRESD
        pugOUBf91AMhWSFfiQ5Fr7KleosihdqlYi0Xmor7wG9xlcJRhkcc2K9ltFwIt0IC
        jEuGd19XCFg2Leu/QCjDrmfoejRJFupRGFVur9U2ddzkWmgwvQkxohMWXjwMURCU
        rvwOjAECgYEA/+MpUSrVtW3Q4kzfuMx13EL+fX3nyeb3Fcj3hOaOwZBSS3iGTgYW
        Xr3dxnZY5GU7b8pv4KNIlziv/3r34UyXQ0yJqNXln5PeaE+6exVgi671/Pgu/SOC
        HXC/qEHNIFvpFqQToIzywM5aO3x/BnROWGHuoGLehw2j987zzv+2bJ0CgYEA2cJa
        PuVsLNzBFlqOFa+of3LYbXPxQoD7LWbhW8CFXF4MBbVeIXJodbda8ybohOINUujr
        vCAB6jTWXLMoavMv5XtroVXZxAzZi5XTsZ9mU4u4/6jXvmF3M8eh0MPqzssawvyt
        tisTyCVr4wcFC5TPhITwVIx2vPH8/nzoRccMGl8CgYEA4sSOlhbu42UZq6NS1LOl
        c3iPjejpZD1iFRVPfaDRPGrI84cxBq5QXs/GXZ398xJflReDBEHQD+u11SRFzo0Q
        tBx9FnnQkBX8ENcvPOrZ75AzAWd0RPOV2L9Vqif+QEITk/P+TNb8Pq/guT0AWVjz
        IVJQpiRYbrlA6VinKnflU+UCgYAQLZ1Q0PCxgJEj3QRzXgKRvXGQ6C1DeJuwqtUR
        YQNHcoFIJ0pgB8T1AfNS31AlFzpQL5fb+TDLOrO2XWUiVQD49qtvaBZut1muQiph
        JuuOR3IuJFgq/8jAYxOFlBis1nAdjnJFd3vXwdf7HPll+99TBCFq1qi3ru7R5WvI
        S1p91wKBgQDMoNkhHi+lQvxsZNpO3IlBZPbX5ahZHLIJjqymxw63yKVuevtntawx
        O6PlKUemqu8MqbncBikg+QUhzAToBk3LYr+eIhj/28hmDOYIQQ91Sd1Aafwn2gnd
        Jzl2Y2qWqST3EBHtj9Vc0qW2AI2AhZVjaRC2t2jfQCKBie2PH1YRXg==
        -----END RSA PRIVATE KEY-----

        """
    static let encrypted = """
        -----BEGIN ENCRYPTED PRIVATE KEY-----
        MIH0MF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBDtTPb/ETUwLBxUaGhI
        v4d7AgIIADAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQUOSmAIhA8fIOj+nC
        duUtXwSBkIIqnD1nJ4fW2RyihP5ICZ2lFuZtCNmzXUOOZJj/5GeEa/c6MZ1oKq7Z
        EuLLA6/NgMzYW4g2YodUXJJtoi1Ve8P78Nj1gW0wBprERJJTg2dBrhUIMfMXWlwU
        ouejLfFiA5x0LvElATo0BoyxLge6+kJTtCQhojaHU9IHs0z/d1qoeXON/zEyuOs0
        fxOK7Poy2Q==
        -----END ENCRYPTED PRIVATE KEY-----

        """
    static let encryptedTraditional = """
        -----BEGIN EC PRIVATE KEY-----
        Proc-Type: 4,ENCRYPTED
        DEK-Info: AES-256-CBC,9BA2B1A2F217E8D52A1BDFA2FD7E4703

        /E0j5HKqmQEyEM5DFOMHQCsvU0HN5jQYcTt7rmDGP4d1UvIWy45dugmQDm1pprNr
        6Xdp5G57yBplkEDZWM1zy1rIH7pzAIIi6auzGoF1mERcz0mA6KocV5S81KJm/Ywy
        uemluyPsvlTAPpClZGHVf6NBSh3uKQAt04BzS/E2x9M=
        -----END EC PRIVATE KEY-----

        """
    static let openSSHPrivate = """
        -----BEGIN OPENSSH PRIVATE KEY-----
        b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNl
        Y2RzYS1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQTEQSihHbJC9kpmbGim
        dUmMjsck93QolNHulMzJ9PpNHE9Xj/OACKRW33MXdaGhfGcF4ooH8RbBMEvA6EQt
        dyqvAAAAoJvAV/ibwFf4AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAy
        NTYAAABBBMRBKKEdskL2SmZsaKZ1SYyOxyT3dCiU0e6UzMn0+k0cT1eP84AIpFbf
        cxd1oaF8ZwXiigfxFsEwS8DoRC13Kq8AAAAhANp+36FO6Psyg8qzC4TDn8WztG95
        HN6lI9V9rVgfRz2qAAAAAAECAwQFBgc=
        -----END OPENSSH PRIVATE KEY-----

        """
    static let openSSHPublic =
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMRBKKEdskL2SmZsaKZ1SYyOxyT3dCiU0e6UzMn0+k0cT1eP84AIpFbfcxd1oaF8ZwXiigfxFsEwS8DoRC13Kq8="
}
