//! The whole client in one session: set-up, one inference, goodbye.

use core::cell::RefCell;

use critical_section::Mutex;
use rand_core::CryptoRng;
use stria_core::{DriveError, Error, MAX_FRAME, Settings, SmallClient, Usage, drive};

use super::{Failed, Port};
use crate::line::Link;
use crate::meter::{Meter, Metered};
use crate::picture::Picture;

/// k_s = 2: the fewest instructions an activation; the traffic is twice that of k_s = 4.
const SETTINGS: Settings = Settings {
    k_s: 2,
    h: 8,
    labels: false,
};

/// The client's state, all of it.
static CLIENT: Mutex<RefCell<SmallClient>> = Mutex::new(RefCell::new(SmallClient::closed()));

/// Runs a session; afterwards the picture has its logits. The client's secrets are erased however
/// it ends.
pub fn classify<U: Port>(
    picture: &mut Picture,
    meter: &mut Meter,
    link: &mut Link<U>,
    rng: &mut impl CryptoRng,
) -> Result<(), Failed<U>> {
    // SAFETY: this function alone names it, and does not call itself.
    let client = unsafe { super::alone(&CLIENT) };
    link.connect(rng.next_u32()).map_err(DriveError::Io)?;
    client.open(SETTINGS, rng);
    // Room for one frame: RAM is short, and the link gathers what it sends.
    let mut buffer = [0; MAX_FRAME];
    let mut session = Metered {
        party: (client, picture),
        phase: |(client, _)| client.position().map(|(phase, _)| phase),
        meter,
    };
    drive(&mut session, link, &mut buffer, &mut ())?;
    let (client, picture) = &mut session.party;
    let welcome = client.welcome();
    if !welcome.is_some_and(|welcome| picture.fit(welcome)) {
        client.close();
        return Err(Error::Usage(Usage::Image).into());
    }
    client.start()?;
    drive(&mut session, link, &mut buffer, &mut ())?;
    session.party.0.finish()?;
    drive(&mut session, link, &mut buffer, &mut ())
}
