//! Batches on their way: a few at a time, each repeated by the rules until accepted, refused or
//! too old, each counted once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::notice::Notice;
use super::queue::Queue;
use super::retry::{self, Failure, Retry};
use super::transport::{Accepted, Transport};
use crate::health::Reason;
use crate::span::model::Span;

/// Batches under way at once: enough for 20,000 spans a second over a 100 ms line.
const IN_FLIGHT: usize = 4;
/// A backend that asks for a longer pause is asked again after this one.
const LONGEST_THROTTLE: Duration = Duration::from_secs(300);
/// And one that asks for none is not hammered.
const SHORTEST_THROTTLE: Duration = Duration::from_millis(100);

/// Everything a batch needs.
struct Delivery {
    transport: Transport,
    queue: Arc<Queue>,
    export_timeout: Duration,
    notice: Mutex<Notice>,
    /// The backend asked to be left alone until then.
    quiet_until: Mutex<Option<Instant>>,
}

/// Sends what `queue` gives until it is closed and empty, or its deadline has come.
pub(super) async fn run(
    transport: Transport,
    queue: Arc<Queue>,
    export_timeout: Duration,
    target: String,
) {
    let mut closing = queue.closing();
    let delivery = Arc::new(Delivery {
        transport,
        queue,
        export_timeout,
        notice: Mutex::new(Notice::new(target)),
        quiet_until: Mutex::new(None),
    });
    let deadline = async {
        match closing.wait_for(Option::is_some).await.map(|at| *at) {
            Ok(Some(at)) => sleep_until(at).await,
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        () = deliver_all(&delivery) => {}
        () = deadline => {}
    }
}

async fn deliver_all(delivery: &Arc<Delivery>) {
    let slots = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut batches = JoinSet::new();
    // The slot comes first: spans wait in the bounded queue, not in batches.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let Some(spans) = delivery.queue.next().await else {
            break;
        };
        let delivery = Arc::clone(delivery);
        batches.spawn(async move {
            let mut batch = Batch {
                open: spans.len() as u64,
                delivery: &delivery,
            };
            batch.deliver(spans).await;
            drop(slot);
        });
        while batches.try_join_next().is_some() {}
    }
    while batches.join_next().await.is_some() {}
}

/// A batch whose spans are not all accounted for.
struct Batch<'a> {
    open: u64,
    delivery: &'a Delivery,
}

impl Batch<'_> {
    async fn deliver(&mut self, spans: Vec<Span>) {
        let delivery = self.delivery;
        let give_up = Instant::now() + delivery.export_timeout;
        let body = match delivery.transport.encode(spans) {
            Ok(body) => body,
            Err(failure) => return self.failed(&failure),
        };
        for attempt in 1.. {
            delivery.keep_quiet(give_up).await;
            let answer = timeout_at(give_up, delivery.transport.send(body.clone())).await;
            let failure = match answer {
                Ok(Ok(accepted)) => return self.accepted(&accepted),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::passing("no answer in time"),
            };
            if failure.retry == Retry::Never {
                return self.failed(&failure);
            }
            delivery.warn(&failure);
            delivery.pause(failure.retry, attempt, give_up).await;
            if Instant::now() >= give_up {
                return self.lost();
            }
        }
    }

    fn accepted(&mut self, accepted: &Accepted) {
        let rejected = accepted.rejected.min(self.open);
        let books = &self.delivery.queue.books;
        books.left(self.open - rejected);
        books.lost(rejected, Reason::Rejected);
        self.open = 0;
        self.delivery.tell(accepted, rejected);
    }

    fn failed(&mut self, failure: &Failure) {
        self.lost();
        self.delivery.warn(failure);
    }

    fn lost(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.delivery.queue.books.lost(open, Reason::ExportFailed);
    }
}

/// Only a panic inside a library leaves something open here, or the deadline, whose spans are the
/// settlement's.
impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.lost();
        }
    }
}

impl Delivery {
    /// Waits as long as the backend asked for, but not beyond `give_up`.
    async fn keep_quiet(&self, give_up: Instant) {
        let until = *lock(&self.quiet_until);
        if let Some(until) = until {
            sleep_until(until.min(give_up)).await;
        }
    }

    /// The pause before attempt `attempt + 1`. A closing queue cuts it short once: what is left
    /// should go out now, if that is possible by now.
    async fn pause(&self, retry: Retry, attempt: u32, give_up: Instant) {
        let now = Instant::now();
        if let Retry::After(pause) = retry {
            let until = now + pause.clamp(SHORTEST_THROTTLE, LONGEST_THROTTLE);
            let mut quiet = lock(&self.quiet_until);
            *quiet = Some(quiet.map_or(until, |other| other.max(until)));
            // Waited for at the next attempt, like everybody's.
            return;
        }
        let until = (now + retry::backoff(attempt, retry::random())).min(give_up);
        let mut closing = self.queue.closing();
        if closing.borrow_and_update().is_some() {
            sleep_until(until).await;
        } else {
            let _ = timeout_at(until, closing.changed()).await;
        }
    }

    fn warn(&self, failure: &Failure) {
        let lost = self.queue.books.lost_so_far();
        let now = std::time::Instant::now();
        if let Some(line) = lock(&self.notice).failed(now, &failure.why, lost) {
            tracing::warn!("{line}");
        }
    }

    fn tell(&self, accepted: &Accepted, rejected: u64) {
        let lost = self.queue.books.lost_so_far();
        let now = std::time::Instant::now();
        let mut notice = lock(&self.notice);
        if let Some(line) = notice.succeeded(now, lost) {
            tracing::info!("{line}");
        }
        if (rejected > 0 || !accepted.message.is_empty())
            && let Some(line) = notice.partial(now, rejected, &accepted.message)
        {
            tracing::warn!("{line}");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
