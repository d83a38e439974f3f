//! Sends frames as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderValue, header};

use super::Frame;

/// How long a browser waits before it reconnects.
const RETRY: Duration = Duration::from_secs(3);

/// A response that sends `retry:` once, then the frames as they come, and a comment whenever nothing came for `heartbeat`. Dropping it
/// drops the frames' source and stops nothing else.
pub fn respond(
    frames: impl Stream<Item = Frame> + Send + 'static,
    heartbeat: Duration,
) -> Response {
    let opening = stream::iter([Event::default().retry(RETRY)]);
    let events = opening.chain(frames.map(event)).map(Ok::<_, Infallible>);
    let keep_alive = KeepAlive::new().interval(heartbeat).text("keep-alive");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Without it some proxies hold the stream back until it ends.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn event(frame: Frame) -> Event {
    let mut event = Event::default();
    if let Some(name) = frame.name {
        event = event.event(name);
    }
    event = event.data(frame.data);
    match frame.id {
        Some(cursor) => event.id(cursor.to_string()),
        None => event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_carry_their_place_and_silence_is_filled_with_comments() {
        let frames = [
            Frame {
                id: None,
                name: None,
                data: "{\"a\":1}".to_owned(),
            },
            Frame {
                id: "00000000-0000-0000-0000-000000000007:3".parse().ok(),
                name: Some("finished"),
                data: "{}".to_owned(),
            },
        ];
        let silence = stream::pending();
        let heartbeat = Duration::from_millis(2);
        let response = respond(stream::iter(frames).chain(silence), heartbeat);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        assert_eq!(response.headers()["x-accel-buffering"], "no");

        let mut body = response.into_body().into_data_stream();
        let mut text = String::new();
        let read = async {
            while text.matches("keep-alive").count() < 2 {
                text.push_str(&String::from_utf8_lossy(
                    &body.next().await.unwrap().unwrap(),
                ));
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .unwrap();
        assert_eq!(
            text,
            "retry: 3000\n\ndata: {\"a\":1}\n\nevent: finished\ndata: {}\nid: 00000000-0000-0000-0000-000000000007:3\n\n\
             : keep-alive\n\n: keep-alive\n\n"
        );
    }
}
