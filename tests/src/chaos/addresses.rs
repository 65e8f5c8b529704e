//! The addresses of the intakes. A new process has a new port.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

/// The present address of each intake. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses(Arc<Mutex<Vec<String>>>);

impl Addresses {
    pub(super) fn add(&self, address: String) {
        self.lock().push(address);
    }

    pub(super) fn set(&self, n: usize, address: String) {
        self.lock()[n] = address;
    }

    pub(super) fn get(&self, n: usize) -> String {
        let addresses = self.lock();
        addresses[n % addresses.len()].clone()
    }

    /// A lazily connected channel to the present address of one intake.
    pub(super) fn channel(&self, n: usize) -> Channel {
        self.endpoint(n)
            .timeout(Duration::from_secs(20))
            .connect_lazy()
    }

    /// As [`Addresses::channel`], without a time limit for calls.
    pub(super) fn watching_channel(&self, n: usize) -> Channel {
        self.endpoint(n).connect_lazy()
    }

    fn endpoint(&self, n: usize) -> Endpoint {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.get(n)));
        endpoint
            .expect("an address makes a URL")
            .connect_timeout(Duration::from_secs(1))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}
