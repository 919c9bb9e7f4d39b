use std::sync::Mutex;

use super::*;
use crate::export::queue::Cut;
use crate::export::receiver::{books, spans};
use crate::export::samples::{client, server};
use crate::health::Ledger;

/// Takes `room` bytes, then nobody reads any more.
#[derive(Clone)]
struct Pipe {
    text: Arc<Mutex<Vec<u8>>>,
    room: usize,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.lock().unwrap();
        let n = bytes.len().min(self.room - text.len());
        if n == 0 {
            return Err(ErrorKind::BrokenPipe.into());
        }
        text.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn console(output: Output, batches: Vec<Vec<Span>>, room: usize) -> (String, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let cut = Cut {
        spans: 512,
        delay: Duration::ZERO,
    };
    let queue = Arc::new(Queue::new(10_000, cut, Arc::clone(&ledger)));
    let pipe = Pipe {
        text: Arc::default(),
        room,
    };
    let look = || Look {
        width: 100,
        colour: false,
    };
    let feeder = Arc::clone(&queue);
    let out = pipe.clone();
    crate::export::worker::runtime().unwrap().block_on(async {
        let feed = async move {
            for batch in batches {
                feeder.push(batch);
                while output == Output::Json && feeder.books.pending() > 0 {
                    tokio::task::yield_now().await;
                }
            }
            feeder.close(tokio::time::Instant::now());
        };
        tokio::join!(run_on(out, queue, output, look), feed);
    });
    let text = pipe.text.lock().unwrap().clone();
    (String::from_utf8_lossy(&text).into_owned(), ledger)
}

#[test]
fn json_is_one_line_a_span_in_order() {
    let (text, ledger) = console(Output::Json, vec![spans(3), spans(600)], usize::MAX);
    let ids: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|span| u64::from_str_radix(span["span_id"].as_str().unwrap(), 16).unwrap())
        .collect();
    let expected: Vec<_> = (1..=3).chain(1..=600).collect();
    assert_eq!(ids, expected);
    assert_eq!(books(&ledger), (603, 603, vec![]));
}

#[test]
fn trees_that_are_not_complete_are_printed_at_the_end() {
    let child = client(1, 2, Some(1), "front", (1, 2));
    let parent = server(1, 1, None, "front", (0, 3));
    let other = client(2, 2, Some(9), "front", (1, 2));
    let (text, ledger) = console(
        Output::Trees,
        vec![vec![child, other], vec![parent]],
        10_000,
    );
    let starts: Vec<_> = text
        .lines()
        .map(|line| line.chars().take(9).collect::<String>())
        .collect();
    let expected = [
        "trace 010",
        "front GET",
        "└─ front ",
        "",
        "trace 020",
        "front → G",
        "",
    ];
    assert_eq!(starts, expected);
    assert_eq!(books(&ledger), (3, 3, vec![]));
}

#[test]
fn a_reader_that_left_ends_the_output_and_is_counted() {
    let (whole, _) = console(Output::Json, vec![spans(1)], usize::MAX);
    let batches = vec![spans(1), spans(2), spans(4)];
    let (text, ledger) = console(Output::Json, batches.clone(), whole.len());
    assert_eq!(text, whole);
    assert_eq!(
        books(&ledger),
        (7, 1, vec![("export_failed".to_owned(), 6)])
    );
    let (_, ledger) = console(Output::Trees, batches, 0);
    assert_eq!(
        books(&ledger),
        (7, 0, vec![("export_failed".to_owned(), 7)])
    );
}
