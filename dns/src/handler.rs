//! Strait's answers as a hickory-server request handler: what stream transports use.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hickory_proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{BinDecoder, BinEncoder};
use hickory_server::net::NetError;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder, Queries};
use strait_catalog::Published;

use crate::answer::answer;
use crate::question::{Parsed, parse};
use crate::rcode::Rcode;
use crate::respond::{Reply, Transport, respond};
use crate::typed::{TypedAnswer, response_code};
use crate::zone::Zone;

/// Answers requests of a hickory-server `Server` from the published snapshot.
///
/// For stream transports (TCP, TLS, HTTPS): hickory truncates datagrams in the middle of a set of records, the UDP path
/// of this crate does not.
#[derive(Clone, Debug)]
pub struct Handler {
    published: Published,
    zone: Arc<Zone>,
}

impl Handler {
    /// A handler for one zone.
    #[must_use]
    pub const fn new(published: Published, zone: Arc<Zone>) -> Self {
        Self { published, zone }
    }

    /// Answers one message of a stream into `out`, which is cleared first.
    ///
    /// Only well-formed queries reach hickory's decoder: it reserves memory by the counts that a header claims.
    pub async fn exchange(&self, message: &[u8], source: SocketAddr, out: &mut Vec<u8>) -> Reply {
        out.clear();
        if let Some(request) = readable(message, source) {
            let sink = Sink::default();
            let info = self.handle_request::<_, TokioTime>(&request, sink.clone()).await;
            sink.move_into(out);
            if let Some(rcode) = known(info.response_code).filter(|_| !out.is_empty()) {
                return Reply::Ready { rcode, truncated: info.truncation };
            }
        }
        respond(message, Transport::Tcp, &self.published.load(), &self.zone, out)
    }

    fn decide(&self, message: &[u8]) -> (Rcode, bool, Option<TypedAnswer>) {
        match parse(message) {
            Parsed::Drop => (Rcode::FormErr, false, None),
            Parsed::Fault { rcode, .. } => (rcode, false, None),
            Parsed::Query(query) => {
                let snapshot = self.published.load();
                let answer = answer(&query.question, &snapshot, &self.zone);
                match TypedAnswer::new(&query, &answer) {
                    Ok(typed) => (answer.rcode, answer.authoritative, Some(typed)),
                    Err(error) => {
                        tracing::warn!(%error, "an answer cannot be expressed for a stream transport");
                        (Rcode::ServFail, false, None)
                    }
                }
            }
        }
    }
}

fn readable(message: &[u8], source: SocketAddr) -> Option<Request> {
    let Parsed::Query(_) = parse(message) else { return None };
    Request::from_bytes(message.to_vec(), source, Protocol::Tcp).ok()
}

fn known(code: ResponseCode) -> Option<Rcode> {
    Rcode::ALL.into_iter().find(|rcode| response_code(*rcode) == code)
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut responder: R) -> ResponseInfo {
        let (rcode, authoritative, typed) = self.decide(request.as_slice());
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = response_code(rcode);
        metadata.authoritative = authoritative;
        let sent = match &typed {
            Some(typed) => {
                let builder = MessageResponseBuilder::new(&request.queries, typed.edns.as_ref());
                let (answers, authorities) = (&typed.answers, &typed.authorities);
                let response = builder.build(metadata, answers, authorities, [], &typed.additionals);
                responder.send_response(response).await
            }
            // A fault is answered with a header alone: its question may not be what it seems.
            None => match Queries::read(&mut BinDecoder::new(&[]), 0) {
                Ok(no_queries) => {
                    let builder = MessageResponseBuilder::new(&no_queries, None);
                    responder.send_response(builder.build_no_records(metadata)).await
                }
                Err(error) => Err(NetError::from(error.to_string())),
            },
        };
        sent.unwrap_or_else(|error| {
            tracing::debug!(%error, "a DNS answer was not sent");
            metadata.response_code = ResponseCode::ServFail;
            ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
        })
    }
}

/// Takes the encoded response instead of a connection.
#[derive(Clone, Debug, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn move_into(&self, out: &mut Vec<u8>) {
        out.append(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[async_trait::async_trait]
impl ResponseHandler for Sink {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut bytes = Vec::new();
        let info = response.destructive_emit(&mut BinEncoder::new(&mut bytes))?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
        Ok(info)
    }
}
