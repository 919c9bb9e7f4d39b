use super::*;
use crate::export::receiver::{books, spans};

const SECOND: Duration = Duration::from_secs(1);

fn queue(capacity: usize, spans: usize) -> (Arc<Queue>, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let cut = Cut {
        spans,
        delay: SECOND,
    };
    let queue = Queue::new(capacity, cut, Arc::clone(&ledger));
    (Arc::new(queue), ledger)
}

fn of_size(bytes: usize) -> Span {
    let mut span = spans(1).remove(0);
    span.name = "n".repeat(bytes);
    span
}

#[tokio::test(start_paused = true)]
async fn a_lone_span_waits_for_company_as_long_as_told_and_no_longer() {
    let (queue, _) = queue(10, 5);
    let start = Instant::now();
    let feeder = Arc::clone(&queue);
    tokio::spawn(async move {
        tokio::time::sleep(SECOND / 4).await;
        feeder.push(spans(1));
        tokio::time::sleep(SECOND / 2).await;
        feeder.push(spans(2));
    });
    assert_eq!(queue.next().await.unwrap().len(), 3);
    assert_eq!(start.elapsed(), SECOND + SECOND / 4);
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_wait() {
    let (queue, _) = queue(10, 5);
    let start = Instant::now();
    let feeder = Arc::clone(&queue);
    tokio::spawn(async move {
        for _ in 0..3 {
            feeder.push(spans(2));
        }
    });
    assert_eq!(queue.next().await.unwrap().len(), 5);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(queue.next().await.unwrap().len(), 1);
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_counted() {
    let (queue, ledger) = queue(10, 5);
    queue.push(spans(8));
    queue.push(spans(8));
    assert_eq!(
        ledger.dropped(crate::health::Stage::Export, Reason::QueueFull),
        6
    );
    assert_eq!(queue.books.pending(), 10);
    queue.books.settle();
    assert_eq!(books(&ledger).0, 16);
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes_too() {
    let (queue, _) = queue(1_000, 5);
    let tenth = MAX_QUEUE_BYTES / 10;
    queue.push((0..12).map(|_| of_size(tenth)).collect());
    assert_eq!(queue.books.pending(), 9);
    queue.next().await.unwrap();
    queue.push(vec![of_size(tenth)]);
    assert_eq!(queue.books.pending(), 10);
}

#[tokio::test]
async fn batches_are_cut_by_bytes_and_a_giant_goes_alone() {
    let (queue, _) = queue(1_000, 100);
    let third = MAX_BATCH_BYTES / 3;
    let sizes = [third, third, third, 2 * MAX_BATCH_BYTES, 1, 1];
    queue.push(sizes.into_iter().map(of_size).collect());
    queue.close(Instant::now());
    let mut batches = Vec::new();
    while let Some(batch) = queue.next().await {
        batches.push(batch.len());
    }
    assert_eq!(batches, [2, 1, 1, 2]);
    assert_eq!(queue.lock().bytes, 0);
}

#[tokio::test]
async fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
    let (queue, ledger) = queue(10, 5);
    queue.push(spans(7));
    queue.close(Instant::now());
    queue.push(spans(2));
    assert_eq!(queue.next().await.unwrap().len(), 5);
    assert_eq!(queue.next().await.unwrap().len(), 2);
    assert_eq!(queue.next().await, None);
    assert_eq!(
        ledger.dropped(crate::health::Stage::Export, Reason::Shutdown),
        2
    );
}

#[tokio::test]
async fn the_books_balance_when_many_hand_over_at_once() {
    let (queue, ledger) = queue(50, 7);
    let feeders: Vec<_> = (0..4)
        .map(|_| {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || (0..500).for_each(|n| queue.push(spans(n % 4))))
        })
        .collect();
    let reader = Arc::clone(&queue);
    let reading = async move {
        while let Some(batch) = reader.next().await {
            reader.books.left(batch.len() as u64);
        }
    };
    let closing = async {
        while !feeders.iter().all(|feeder| feeder.is_finished()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        queue.close(Instant::now());
    };
    tokio::join!(reading, closing);
    assert_eq!(queue.books.pending(), 0);
    assert_eq!(books(&ledger).0, 3_000);
}
