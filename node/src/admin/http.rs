//! Routes of the admin port, and just enough HTTP/1.1 for them. Pure.
//!
//! One request a connection, GET only, exact paths, a head of at most [`HEAD_BYTES_MAX`] and no
//! body. Deliberately absent: keep-alive, TLS, anything that changes the node.

/// A request's head may have this many bytes.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Counters, in Prometheus' text format.
    Metrics,
    /// Whether the process works.
    Health,
    /// Whether it serves.
    Ready,
}

/// What the bytes received so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head is not whole.
    Partial,
    /// A route of ours.
    Route(Route),
    /// A status to answer with.
    Refused(u16),
}

/// Reads a request's head.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Parsed::Partial,
        Ok(httparse::Status::Partial) => return Parsed::Refused(431),
        Err(_) => return Parsed::Refused(400),
    }
    if request.method != Some("GET") {
        return Parsed::Refused(405);
    }
    match request.path {
        Some("/metrics") => Parsed::Route(Route::Metrics),
        Some("/healthz") => Parsed::Route(Route::Health),
        Some("/readyz") => Parsed::Route(Route::Ready),
        _ => Parsed::Refused(404),
    }
}

/// A whole response.
#[must_use]
pub fn response(status: u16, body: &str) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_exact() {
        for (text, expected) in [
            (
                "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n",
                Parsed::Route(Route::Metrics),
            ),
            (
                "GET /healthz HTTP/1.0\r\n\r\n",
                Parsed::Route(Route::Health),
            ),
            ("GET /readyz HTTP/1.1\r\n\r\n", Parsed::Route(Route::Ready)),
            ("GET /x/../metrics HTTP/1.1\r\n\r\n", Parsed::Refused(404)),
            ("POST /metrics HTTP/1.1\r\n\r\n", Parsed::Refused(405)),
            ("GET /metrics HTTP/1.1\r\n", Parsed::Partial),
            ("\0\0\0\x20\0\x12", Parsed::Refused(400)),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
        let long = format!("GET / HTTP/1.1\r\na: {}", "x".repeat(HEAD_BYTES_MAX));
        assert_eq!(parse(long.as_bytes()), Parsed::Refused(431));
    }
}
