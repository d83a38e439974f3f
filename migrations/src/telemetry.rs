//! What a program tells its operator: logs on standard error, spans over OTLP, counters for Prometheus.
//!
//! Logs are always written. Spans leave the process only when `OTEL_EXPORTER_OTLP_ENDPOINT` is set; without it not even a thread is
//! started. Counters are kept from the first use on ([`metrics()`]) and cost the same whether anybody reads them or not.
//!
//! Nothing here may hold what belongs to a shop: spans and logs carry names of tools, ids of tenants and failures, never arguments,
//! names, phones or tokens.

use std::fmt;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, Value};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt as log};

use crate::settings::{BadSetting, Reader};

/// What is logged when `RUST_LOG` says nothing. rmcp's debug logs hold whole payloads, and its warnings the words of a request that was
/// refused, so both stay off; what the job queue says of every
/// job, our jobs say better.
pub const DEFAULT_FILTER: &str = "info,rmcp=error,sqlx=warn,graphile_worker=off";

/// Logged at no level, whatever `RUST_LOG` says: async-openai writes out whatever a provider sends that it cannot read.
const NEVER_LOGGED: &str = "async_openai=off";

/// Whose spans are sent. Others' hold what we have not looked at, and the HTTP client's own would be about sending spans.
const OURS: [&str; 4] = ["agent", "contracts", "mcp_server", "migrations"];

/// How long the last spans may take to leave when a program stops.
const LAST_SPANS: Duration = Duration::from_secs(3);
/// The same when a program ends without being stopped properly.
const LAST_SPANS_IN_A_HURRY: Duration = Duration::from_secs(1);

/// How often samples of latencies are put into their buckets when nobody reads them, so that they do not pile up.
const UPKEEP: Duration = Duration::from_secs(5);
/// Bounds of the buckets of every latency, seconds. A list answers in one millisecond, a call is given up after ten seconds.
const LATENCY_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.0, 2.5, 5.0, 10.0,
];

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// What the settings say about telemetry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TelemetrySettings {
    /// `LOG_FORMAT`: `text` or `json`.
    pub log_format: LogFormat,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: where spans are sent, without the path `/v1/traces`; `None` sends none. The other `OTEL_…` variables
    /// of the standard (headers, timeout, sampler, batch sizes, service name) are read by the library.
    pub otlp_endpoint: Option<String>,
}

impl TelemetrySettings {
    /// Reads `LOG_FORMAT` and `OTEL_EXPORTER_OTLP_ENDPOINT`.
    ///
    /// # Errors
    /// [`BadSetting`] for another format, or an endpoint that is not an address.
    pub fn read(settings: &Reader) -> Result<TelemetrySettings, BadSetting> {
        let log_format =
            settings.checked("LOG_FORMAT", "text", "text or json", |text| match text {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            })?;
        let accepts = "an http:// or https:// address such as http://127.0.0.1:4318";
        let otlp_endpoint =
            settings.checked("OTEL_EXPORTER_OTLP_ENDPOINT", "", accepts, |text| {
                let url = text.trim_end_matches('/');
                let host = url
                    .strip_prefix("http://")
                    .or_else(|| url.strip_prefix("https://"));
                match (text, host) {
                    ("", _) => Some(None),
                    (_, Some(host)) if !host.is_empty() => Some(Some(url.to_owned())),
                    _ => None,
                }
            })?;
        Ok(TelemetrySettings {
            log_format,
            otlp_endpoint,
        })
    }
}

/// Running telemetry. Keep it for as long as the program works, and [`Telemetry::stop`] it last: what is dropped without that has a second
/// to send its spans.
#[derive(Debug)]
#[must_use = "dropping it ends the spans"]
pub struct Telemetry {
    spans: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends the last spans, for at most three seconds.
    pub async fn stop(mut self) {
        let Some(spans) = self.spans.take() else {
            return;
        };
        // The call waits for the thread that sends; that thread needs this runtime.
        let stopped = tokio::task::spawn_blocking(move || spans.shutdown_with_timeout(LAST_SPANS));
        if let Ok(Err(error)) = stopped.await {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(spans) = self.spans.take() {
            let _ = spans.shutdown_with_timeout(LAST_SPANS_IN_A_HURRY);
        }
    }
}

/// Starts logs, counters and, where an endpoint is set, spans under the name `program` (`OTEL_SERVICE_NAME` wins). Logs follow
/// `RUST_LOG`, else `filter`, which is [`DEFAULT_FILTER`] for a program that serves. A process that has a log already keeps it.
///
/// Call it inside the runtime, once, before anything is logged.
///
/// # Errors
/// One sentence when spans cannot be sent to such an endpoint.
pub fn start(
    program: &'static str,
    filter: &str,
    settings: &TelemetrySettings,
) -> anyhow::Result<Telemetry> {
    metrics();
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter));
    if let Ok(never) = NEVER_LOGGED.parse() {
        filter = filter.add_directive(never);
    }
    let lines = lines(settings.log_format, std::io::stderr);
    let Some(endpoint) = &settings.otlp_endpoint else {
        // One filter for all costs less than one for each reader.
        let _ = tracing_subscriber::registry()
            .with(lines)
            .with(filter)
            .try_init();
        return Ok(Telemetry { spans: None });
    };
    let exporter = exporter(endpoint)
        .with_context(|| format!("OTEL_EXPORTER_OTLP_ENDPOINT: spans cannot be sent to {endpoint}. Give the address of a collector that takes OTLP over HTTP, or leave it unset"))?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource(program))
        .with_batch_exporter(OnRuntime::new(exporter, tokio::runtime::Handle::current()))
        .build();
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(sent(&provider))
        .try_init();
    Ok(Telemetry {
        spans: Some(provider),
    })
}

/// The log's lines.
fn lines<W>(format: LogFormat, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> log::MakeWriter<'w> + Send + Sync + 'static,
{
    match format {
        // Standard output belongs to the protocol, so the terminal that counts is standard error's.
        LogFormat::Text => log::layer()
            .with_writer(writer)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => log::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(writer)
            .boxed(),
    }
}

/// The spans that are sent: ours, from level info on.
fn sent<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let ours = OURS.map(|target| (target, LevelFilter::INFO));
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("countersign"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_targets(ours))
}

/// Who we are: what the standard's variables say, else the program's name.
fn resource(program: &'static str) -> Resource {
    let detected = Resource::builder().build();
    let name = opentelemetry::Key::from_static_str("service.name");
    let named = detected.get(&name).is_some_and(
        |value| matches!(&value, Value::String(text) if !text.as_str().starts_with("unknown_service")),
    );
    if named {
        detected
    } else {
        Resource::builder()
            .with_service_name(format!("countersign-{program}"))
            .build()
    }
}

fn exporter(
    endpoint: &str,
) -> Result<opentelemetry_otlp::SpanExporter, opentelemetry_otlp::ExporterBuildError> {
    // Without a crypto provider the HTTP client cannot be built. One that is installed already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .build()
}

/// Sends from the program's runtime what the library's own thread hands over: that thread has no reactor, which the HTTP client needs.
struct OnRuntime {
    exporter: Arc<opentelemetry_otlp::SpanExporter>,
    runtime: tokio::runtime::Handle,
    /// Whether the last batch was not taken: said once, not with every batch.
    failing: AtomicBool,
}

impl OnRuntime {
    fn new(
        exporter: opentelemetry_otlp::SpanExporter,
        runtime: tokio::runtime::Handle,
    ) -> OnRuntime {
        OnRuntime {
            exporter: Arc::new(exporter),
            runtime,
            failing: AtomicBool::new(false),
        }
    }

    fn tell(&self, result: &OTelSdkResult) {
        match result {
            Ok(()) if self.failing.swap(false, Ordering::Relaxed) => {
                tracing::info!("spans are taken again");
            }
            Err(error) if !self.failing.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "spans are not taken and are lost until they are");
            }
            _ => {}
        }
    }
}

impl fmt::Debug for OnRuntime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("OnRuntime").finish_non_exhaustive()
    }
}

impl SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = Arc::clone(&self.exporter);
        let sending = self
            .runtime
            .spawn(async move { exporter.export(batch).await });
        let result = sending
            .await
            .unwrap_or_else(|ended| Err(OTelSdkError::InternalFailure(ended.to_string())));
        self.tell(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Set before the first batch, when nobody else holds it.
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}

/// A place in a trace as others name it: W3C's `traceparent`, in MCP a field of `_meta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that called.
    pub parent_id: SpanId,
    /// Whether the caller sends its spans.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads a `traceparent` of the standard's form and nothing else: what a client puts there goes into the log.
    #[must_use]
    pub fn parse(text: &str) -> Option<TraceParent> {
        let hex = |text: &str, length: usize| {
            text.len() == length
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let mut parts = text.split('-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let known = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
        // Version 00 has four parts, later ones may have more; `ff` and all zeros are no version and no ids.
        if !known || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let trace_id = TraceId::from_hex(trace).ok()?;
        let parent_id = SpanId::from_hex(parent).ok()?;
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
        (trace_id != TraceId::INVALID && parent_id != SpanId::INVALID).then_some(TraceParent {
            trace_id,
            parent_id,
            sampled: flags.is_sampled(),
        })
    }

    /// Where `span` stands in its trace, to be handed to whoever is called next. `None` while spans do not leave the process.
    #[must_use]
    pub fn of(span: &tracing::Span) -> Option<TraceParent> {
        let context = span.context();
        let context = context.span().span_context().clone();
        context.is_valid().then(|| TraceParent {
            trace_id: context.trace_id(),
            parent_id: context.span_id(),
            sampled: context.is_sampled(),
        })
    }

    /// Makes `span`, which has not been entered yet, a child of this place. Without effect while spans do not leave the process.
    pub fn adopt(self, span: &tracing::Span) {
        let flags = TraceFlags::default().with_sampled(self.sampled);
        let context = SpanContext::new(
            self.trace_id,
            self.parent_id,
            flags,
            true,
            TraceState::default(),
        );
        let _ = span.set_parent(Context::new().with_remote_span_context(context));
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(out, "00-{}-{}-{flags:02x}", self.trace_id, self.parent_id)
    }
}

/// The counters of this process, in Prometheus's text.
#[derive(Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Every counter, gauge and histogram as of now.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// The counters of this process; the first call makes them. A handle of the crate `metrics` that was taken before counts nothing, so
/// whoever keeps handles calls this first.
///
/// Names ending in `_seconds` are histograms with buckets from one millisecond to ten seconds.
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        let latencies = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(latencies, &LATENCY_BUCKETS)
            .unwrap_or_default();
        let handle = match builder.install_recorder() {
            Ok(handle) => handle,
            Err(error) => {
                tracing::warn!(%error, "counters are not kept: another library of this process keeps them");
                PrometheusBuilder::new().build_recorder().handle()
            }
        };
        keep_up(handle.clone());
        Metrics(handle)
    })
}

/// Appends a gauge that is read when somebody looks, in the text format of Prometheus. `values` are a row's labels, with their braces, and
/// its number.
pub fn gauge<N: fmt::Display>(text: &mut String, name: &str, values: &[(&str, N)]) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "# TYPE {name} gauge");
    for (labels, value) in values {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
    text.push('\n');
}

/// Appends the gauges `name` and `name_max` of a program's database connections.
pub fn pool_gauges(text: &mut String, name: &str, pool: &sqlx::PgPool) {
    let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
    let used = i64::from(pool.size()).saturating_sub(idle).max(0);
    let states = [("{state=\"idle\"}", idle), ("{state=\"used\"}", used)];
    gauge(text, name, &states);
    let most = pool.options().get_max_connections();
    gauge(text, &format!("{name}_max"), &[("", most)]);
}

/// Tidies up for as long as the process lives, on a thread of its own: counters outlive every runtime of a process.
fn keep_up(handle: PrometheusHandle) {
    let spawned = std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(UPKEEP);
                handle.run_upkeep();
            }
        });
    if let Err(error) = spawned {
        tracing::warn!(%error, "samples of latencies are only tidied when somebody reads them");
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;

    fn read(pairs: &'static [(&'static str, &'static str)]) -> Result<TelemetrySettings, String> {
        let reader = Reader::new(|name| {
            let found = pairs.iter().find(|(n, _)| *n == name);
            found.map(|(_, v)| (*v).to_owned())
        });
        TelemetrySettings::read(&reader).map_err(|e| e.to_string())
    }

    #[test]
    fn nothing_leaves_the_process_unless_an_address_is_given() {
        assert_eq!(read(&[]), Ok(TelemetrySettings::default()));
        let given = read(&[
            ("LOG_FORMAT", "json"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
        ]);
        assert_eq!(
            given,
            Ok(TelemetrySettings {
                log_format: LogFormat::Json,
                otlp_endpoint: Some("http://collector:4318".to_owned()),
            })
        );
        assert!(read(&[("LOG_FORMAT", "xml")]).is_err_and(|e| e.contains("text or json")));
        for bad in ["collector:4318", "http://", "ftp://collector"] {
            let settings = Reader::new(move |name| {
                (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| bad.to_owned())
            });
            assert!(TelemetrySettings::read(&settings).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_trace_of_the_standard_form_is_taken_over() {
        let trace_id = "0af7651916cd43dd8448eb211c80319c";
        let parent_id = "00f067aa0ba902b7";
        let good = format!("00-{trace_id}-{parent_id}-01");
        let parsed = TraceParent::parse(&good).unwrap();
        assert_eq!(parsed.to_string(), good);
        assert_eq!(
            TraceParent::parse(&format!("cc-{trace_id}-{parent_id}-01-later")),
            Some(parsed)
        );
        let unsampled = TraceParent::parse(&good.replace("-01", "-02")).unwrap();
        assert!(!unsampled.sampled);
        for bad in [
            "",
            "00",
            &good.to_uppercase(),
            &good.replace("00-0af", "ff-0af"),
            &good.replace(trace_id, &"0".repeat(32)),
            &good.replace(parent_id, &"0".repeat(16)),
            &good.replace("9c", "9\n"),
            &format!("{good}0"),
            &format!("{good}-more"),
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }

    /// Keeps what is sent.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    #[test]
    fn a_span_joins_the_trace_of_its_caller_and_hands_it_on() {
        let exporter = Kept::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let subscriber = tracing_subscriber::registry().with(sent(&provider));
        let caller =
            TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01").unwrap();
        let handed_on = tracing::subscriber::with_default(subscriber, || {
            let span = tracing::error_span!(target: "mcp_server", "tools/call");
            caller.adopt(&span);
            let _theirs = tracing::error_span!(target: "rmcp", "their own").entered();
            span.in_scope(|| TraceParent::of(&tracing::Span::current()))
                .unwrap()
        });
        let sent = exporter.0.lock().unwrap();
        assert_eq!(sent.len(), 1, "only ours: {sent:?}");
        assert_eq!(sent[0].span_context.trace_id(), caller.trace_id);
        assert_eq!(sent[0].parent_span_id, caller.parent_id);
        assert_eq!(handed_on.trace_id, caller.trace_id);
        assert_eq!(handed_on.parent_id, sent[0].span_context.span_id());
    }

    #[test]
    fn without_an_address_a_span_has_no_place_to_hand_on() {
        let subscriber = tracing_subscriber::registry();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::error_span!("tools/call");
            assert_eq!(TraceParent::of(&span), None);
        });
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_the_log_for_programs_is_one_object_with_the_spans_fields() {
        let written = Written::default();
        let writer = written.clone();
        let layer = lines(LogFormat::Json, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let _span = tracing::error_span!("tools/call", tool = "inventory_list_items").entered();
            tracing::error!(code = "timeout", "call \"failed\"\nbadly");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in [
            r#""level":"ERROR""#,
            r#""message":"call \"failed\"\nbadly""#,
            r#""code":"timeout""#,
            r#""span":{"tool":"inventory_list_items","name":"tools/call"}"#,
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    /// A collector that takes one request, and what it was sent.
    async fn collector() -> (String, tokio::task::JoinHandle<String>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let taken = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = Vec::new();
            let mut part = [0; 4096];
            while !String::from_utf8_lossy(&got).contains("tools/call") {
                let n = stream.read(&mut part).await.unwrap();
                assert_ne!(n, 0, "the request ended early");
                got.extend_from_slice(&part[..n]);
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await
                .unwrap();
            String::from_utf8_lossy(&got).into_owned()
        });
        (endpoint, taken)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn spans_are_sent_when_the_program_stops() {
        let (endpoint, taken) = collector().await;
        let exporter = OnRuntime::new(
            exporter(&endpoint).unwrap(),
            tokio::runtime::Handle::current(),
        );
        let provider = SdkTracerProvider::builder()
            .with_resource(resource("mcp-server"))
            .with_batch_exporter(exporter)
            .build();
        let subscriber = tracing_subscriber::registry().with(sent(&provider));
        tracing::subscriber::with_default(subscriber, || {
            tracing::error_span!(target: "mcp_server", "tools/call").in_scope(|| {});
        });
        Telemetry {
            spans: Some(provider),
        }
        .stop()
        .await;
        let request = taken.await.unwrap();
        assert!(request.starts_with("POST /v1/traces HTTP/1.1"), "{request}");
        assert!(request.contains("countersign-mcp-server"), "{request}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_that_is_away_does_not_keep_a_program_from_stopping() {
        let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", nobody.local_addr().unwrap());
        let exporter = OnRuntime::new(
            exporter(&endpoint).unwrap(),
            tokio::runtime::Handle::current(),
        );
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .build();
        let subscriber = tracing_subscriber::registry().with(sent(&provider));
        tracing::subscriber::with_default(subscriber, || {
            tracing::error_span!(target: "mcp_server", "tools/call").in_scope(|| {});
        });
        let begun = std::time::Instant::now();
        // The listener accepts by itself and never answers.
        Telemetry {
            spans: Some(provider),
        }
        .stop()
        .await;
        assert!(begun.elapsed() < LAST_SPANS + Duration::from_secs(2));
        drop(nobody);
    }

    #[test]
    fn what_is_counted_is_rendered_with_our_buckets() {
        let text = {
            let metrics = metrics();
            metrics::histogram!("test_latency_seconds", "tool" => "a").record(0.03);
            metrics.render()
        };
        assert!(
            text.contains(r#"test_latency_seconds_bucket{tool="a",le="0.04"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"test_latency_seconds_bucket{tool="a",le="0.02"} 0"#),
            "{text}"
        );
    }
}
