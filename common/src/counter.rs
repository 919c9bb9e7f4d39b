//! Counters that the kernel programs keep per CPU. Numbers are never reused.

/// Declares the counters once: number, name in the ledger.
macro_rules! counters {
    ($($(#[$doc:meta])* $id:ident = $n:literal, $name:literal;)+) => {
        $($(#[$doc])* pub const $id: u32 = $n;)+
        /// Number and ledger name of every counter.
        pub const COUNTERS: &[(u32, &str)] = &[$(($id, $name)),+];
    };
}

counters! {
    /// Messages numbered, receiving direction.
    RX_MESSAGES = 0, "rx_messages";
    /// Messages numbered, sending direction.
    TX_MESSAGES = 1, "tx_messages";
    /// Messages whose first segment reached the ring, receiving direction.
    RX_MESSAGES_SENT = 2, "rx_messages_sent";
    /// Messages whose first segment reached the ring, sending direction.
    TX_MESSAGES_SENT = 3, "tx_messages_sent";
    /// Messages whose first segment the full ring refused, receiving direction.
    RX_MESSAGES_RING_FULL = 4, "rx_messages_ring_full";
    /// Messages whose first segment the full ring refused, sending direction.
    TX_MESSAGES_RING_FULL = 5, "tx_messages_ring_full";
    /// Messages not copied because the connection speaks no known protocol, receiving direction.
    RX_MESSAGES_UNKNOWN = 6, "rx_messages_unknown_protocol";
    /// Messages not copied because the connection speaks no known protocol, sending direction.
    TX_MESSAGES_UNKNOWN = 7, "tx_messages_unknown_protocol";
    /// Records offered to the ring, of every kind.
    RECORDS = 16, "records";
    /// Records that the full ring refused.
    RECORDS_RING_FULL = 17, "records_ring_full";
    /// Later segments of a message that the full ring refused.
    SEGMENTS_RING_FULL = 18, "segments_ring_full";
    /// Connections that found no room in the map of sockets; their messages are not numbered.
    SOCKETS_MAP_FULL = 24, "sockets_map_full";
    /// Goroutines that found no room in the map of ancestors.
    ANCESTORS_MAP_FULL = 25, "ancestors_map_full";
    /// Threads that found no room in the map of waits.
    WAITS_MAP_FULL = 26, "waits_map_full";
    /// Sends by splice or sendfile that found no room in the map of calls under way.
    CALLS_MAP_FULL = 27, "calls_map_full";
    /// Calling goroutines that found no room in the map of those whose exit is told.
    CALLERS_MAP_FULL = 28, "callers_map_full";
    /// Client calls that found no room in the map of those under way: they begin later in their
    /// spans.
    BEGUN_MAP_FULL = 29, "begun_map_full";
    /// Processes that found no room in the map of those that use io_uring.
    IO_URING_MAP_FULL = 30, "io_uring_map_full";
    /// User memory that could not be read at a send or receive.
    PAYLOAD_FAULT = 32, "payload_fault";
    /// Descriptor closed or replaced by another thread before the call returned.
    DESCRIPTOR_GONE = 33, "descriptor_gone";
    /// Stream bases that disagreed at first and agreed when read again.
    TORN_READ = 34, "torn_read_repaired";
    /// Stream bases that never agreed.
    TORN_READ_LOST = 35, "torn_read_lost";
    /// A socket address met again under another connection.
    SOCKET_REUSED = 36, "socket_reused";
    /// Segments whose offset did not follow from the one before.
    OFFSET_JUMP = 37, "offset_out_of_line";
    /// Go memory that could not be read.
    GO_FAULT = 38, "go_fault";
    /// Calls on MPTCP sockets.
    MPTCP = 48, "mptcp";
    /// Calls on TCP sockets with replaced operations (kTLS, sockmap, SMC).
    REPLACED = 49, "replaced_operations";
    /// System calls of 32-bit programs.
    COMPAT = 50, "compat_syscall";
    /// io_uring_enter calls: what they move is not seen.
    IO_URING = 51, "io_uring_enter";
    /// More pieces (iovec) in one call than are looked at.
    IOVEC_LIMIT = 52, "iovec_limit";
}

/// Slots of the counter array.
pub const COUNTER_SLOTS: u32 = 64;
