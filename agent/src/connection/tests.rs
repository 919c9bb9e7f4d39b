//! The connection stage as a whole: records in, begins and ends out.

mod endings;
mod hops;
mod limits;
mod losses;
mod properties;
mod recordings;
mod support;
mod times;
mod vectors;
