//! OTLP over gRPC. The request is encoded once and sent as bytes, so that a repetition costs no
//! second conversion.

use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use prost::bytes::{BufMut, Bytes};
use tonic::client::Grpc as Client;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};
use tonic_types::StatusExt;

use super::ExportError;
use super::look::harmless;
use super::retry::{self, Failure};
use super::settings::{Compression, Otlp};
use super::transport::{Accepted, Pem, USER_AGENT, with_causes};

const EXPORT: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");

/// As large an answer is read as this.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// A client for one server.
pub(super) struct Grpc {
    endpoint: Endpoint,
    line: Mutex<Line>,
    headers: MetadataMap,
    gzip: bool,
    timeout: Duration,
}

/// The connection in use and how often it was replaced.
#[derive(Clone)]
struct Line {
    channel: Channel,
    generation: u64,
}

impl Grpc {
    pub(super) fn new(settings: &Otlp, pem: Pem) -> Result<Self, ExportError> {
        let refused = |error: tonic::transport::Error| ExportError::Tls(with_causes(&error));
        let mut base = settings.endpoint.clone();
        // Only scheme, host and port count; user info would make the authority invalid.
        base.set_path("");
        base.set_query(None);
        let _ = base.set_username("");
        let _ = base.set_password(None);
        let mut endpoint = Endpoint::from_shared(base.to_string())
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .map_err(refused)?
            .connect_timeout(settings.timeout);
        if settings.endpoint.scheme() == "https" {
            endpoint = endpoint.tls_config(tls(pem)).map_err(refused)?;
        }
        Ok(Self {
            line: Mutex::new(Line {
                channel: endpoint.connect_lazy(),
                generation: 0,
            }),
            endpoint,
            headers: metadata(settings)?,
            gzip: settings.compression == Compression::Gzip,
            timeout: settings.timeout,
        })
    }

    pub(super) async fn send(&self, body: Bytes) -> Result<Accepted, Failure> {
        let line = self.line();
        match tokio::time::timeout(self.timeout, self.call(line.channel, body)).await {
            Ok(answer) => answer,
            Err(_) => {
                // A connection that a firewall forgot stays silent for a quarter of an hour.
                self.replace(line.generation);
                Err(Failure::passing("no answer in time"))
            }
        }
    }

    async fn call(&self, channel: Channel, body: Bytes) -> Result<Accepted, Failure> {
        // Servers answer a compressed request with a compressed answer.
        let mut client = Client::new(channel)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        if self.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let mut request = Request::new(body);
        *request.metadata_mut() = self.headers.clone();
        client
            .ready()
            .await
            .map_err(|error| Failure::passing(with_causes(&error)))?;
        let answer = client.unary(request, EXPORT, Encoded).await;
        match answer {
            Ok(response) => Ok(response.into_inner().into()),
            Err(status) => Err(failure(&status)),
        }
    }

    fn line(&self) -> Line {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.clone()
    }

    fn replace(&self, generation: u64) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.generation == generation {
            line.channel = self.endpoint.connect_lazy();
            line.generation += 1;
        }
    }
}

fn tls(pem: Pem) -> ClientTlsConfig {
    let mut config = ClientTlsConfig::new();
    config = match pem.authorities {
        Some(authorities) => config.ca_certificate(Certificate::from_pem(authorities)),
        None => config.with_native_roots(),
    };
    match pem.identity {
        Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
        None => config,
    }
}

fn metadata(settings: &Otlp) -> Result<MetadataMap, ExportError> {
    let mut map = MetadataMap::new();
    for (name, value) in &settings.headers {
        let bad = || ExportError::Header(name.clone());
        let key = MetadataKey::<Ascii>::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        map.append(key, MetadataValue::try_from(value).map_err(|_| bad())?);
    }
    Ok(map)
}

fn failure(status: &Status) -> Failure {
    // A status with a source was made at this end: the connection failed, nobody answered.
    if let Some(source) = status.source() {
        return Failure::passing(with_causes(source));
    }
    let info = status.get_details_retry_info();
    Failure {
        why: format!("{:?}: {}", status.code(), harmless(status.message())),
        retry: retry::grpc(status.code(), info.and_then(|info| info.retry_delay)),
    }
}

/// Sends bytes that are a request already.
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = ExportTraceServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = ExportTraceServiceResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        // The backend accepted it, whatever else it says.
        Ok(Some(
            ExportTraceServiceResponse::decode(from).unwrap_or_default(),
        ))
    }
}
