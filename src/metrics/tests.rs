//! What is counted, and how the text of it looks.

use super::*;

fn sample<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in {text}"))
}

#[test]
fn requests_are_counted_by_method_route_and_status() {
    let metrics = Metrics::new(Timestamp::UNIX_EPOCH);
    let took = Duration::from_millis(3);
    metrics.answered("GET", "/posts/{id}", 200, took);
    metrics.answered("GET", "/posts/{id}", 200, took);
    metrics.answered("GET", "/posts/{id}", 404, took);
    metrics.answered("BREW", "/posts/{id}", 418, took);
    let (_, text) = text(metrics.families()).unwrap();
    let name = "countersign_http_requests_total{method=";
    assert_eq!(
        sample(&text, &format!("{name}\"GET\",route=\"/posts/{{id}}\",status=\"200\"")).rsplit(' ').next(),
        Some("2")
    );
    assert_eq!(
        sample(&text, &format!("{name}\"other\",route=\"/posts/{{id}}\",status=\"0\"")).rsplit(' ').next(),
        Some("1")
    );
    let bucket = "countersign_http_request_duration_seconds_bucket{method=\"GET\",route=\"/posts/{id}\",le=";
    assert!(sample(&text, &format!("{bucket}\"0.0025\"")).ends_with(" 0"));
    assert!(sample(&text, &format!("{bucket}\"0.005\"")).ends_with(" 3"));
}

#[test]
fn a_name_that_is_not_known_counts_nowhere() {
    let counters = Counters::new(["a"]);
    counters.add("a", 2);
    counters.add("b", 1);
    assert_eq!(counters.values().collect::<Vec<_>>(), [("a", Value::Counter(2))]);
}
