//! What is asked of a proxy, and in which words.

use clap::ValueEnum;

/// What is spoken on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// HTTP/1.1, kept alive, client to proxy to pod
    H1,
    /// The same with a kilobyte in each request
    Post,
    /// HTTP/2 without TLS from the client, HTTP/1.1 to the pod
    H2c,
    /// Unary gRPC: HTTP/2 without TLS on both sides, trailers
    Grpc,
    /// Two proxies: HTTP/1.1 from the client, TLS with certificates on both ends between the proxies, HTTP/1.1 to the pod
    Mtls,
}

impl Protocol {
    /// What the client speaks.
    pub fn speech(self) -> Speech {
        match self {
            Self::H1 | Self::Mtls => Speech::H1,
            Self::Post => Speech::Post,
            Self::H2c => Speech::H2,
            Self::Grpc => Speech::Grpc,
        }
    }

    /// As a heading says it.
    pub fn title(self) -> &'static str {
        match self {
            Self::H1 => "HTTP/1.1",
            Self::Post => "HTTP/1.1, POST of 1 KiB",
            Self::H2c => "h2c in, HTTP/1.1 to the pod",
            Self::Grpc => "gRPC",
            Self::Mtls => "two hops, mTLS between them",
        }
    }
}

/// The words of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/1.1.
    H1,
    /// The same with a kilobyte in each request.
    Post,
    /// HTTP/2 with prior knowledge.
    H2,
    /// The same, one message each way and a status in the trailers.
    Grpc,
}

impl Speech {
    /// Bytes of a request's body, of HTTP/1.1.
    pub fn upload(self) -> usize {
        if self == Self::Post { 1024 } else { 0 }
    }

    /// True for HTTP/1.1, which has one request at a time on a connection.
    pub fn one_at_a_time(self) -> bool {
        matches!(self, Self::H1 | Self::Post)
    }
}

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// What the client speaks.
    pub speech: Speech,
    /// Bytes of an answer's body (of its message, with gRPC).
    pub body: usize,
    /// Connections of the client.
    pub connections: u32,
    /// Requests at a time on each of them; 1 with HTTP/1.1.
    pub streams: u32,
}

impl Load {
    /// Requests under way at most.
    pub fn at_once(&self) -> usize {
        (self.connections * self.streams) as usize
    }
}
