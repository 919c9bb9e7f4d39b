//! Programs that receive or make telemetry: tracing them would trace the tracing.

use std::sync::LazyLock;

use globset::{Glob, GlobSet, GlobSetBuilder};

/// Base names of their executables.
pub const TELEMETRY: &[&str] = &[
    "alloy",
    "*beyla*",
    "datadog-agent",
    "ebpf-instrument",
    "fluent-bit",
    "grafana-agent*",
    "jaeger",
    "jaeger-*",
    "loki",
    "mimir",
    "obi",
    "opentelemetry-collector*",
    "otel-collector*",
    "otel-desktop-viewer",
    "otelcol*",
    "prometheus",
    "promtail",
    "pyroscope",
    "tempo",
    "threadline",
    "vector",
    "victoria-*",
    "zipkin*",
];

static SET: LazyLock<GlobSet> = LazyLock::new(|| {
    let mut set = GlobSetBuilder::new();
    TELEMETRY
        .iter()
        .filter_map(|name| Glob::new(name).ok())
        .for_each(|glob| {
            set.add(glob);
        });
    set.build().unwrap_or_else(|_| GlobSet::empty())
});

/// Whether an executable of this base name belongs to telemetry.
pub fn is_telemetry(base_name: &str) -> bool {
    SET.is_match(base_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_known_and_programs_are_not() {
        assert_eq!(SET.len(), TELEMETRY.len(), "every glob is valid");
        for name in [
            "otelcol",
            "otelcol-contrib",
            "jaeger-all-in-one",
            "tempo",
            "beyla",
            "obi",
        ] {
            assert!(is_telemetry(name), "{name}");
        }
        for name in [
            "shop",
            "temporal",
            "objd",
            "my-jaeger-client",
            "nginx",
            "vectors",
            "",
        ] {
            assert!(!is_telemetry(name), "{name}");
        }
    }
}
