//! One session over a line: set-up, one inference, goodbye.

use embedded_io::{Read, Write};
use rand_core::CryptoRng;
use stria_core::{DriveError, Error, MAX_FRAME, Settings, Usage, drive};

use crate::meter::Metered;

/// k_s = 2: the fewest instructions an activation; the traffic is twice that of k_s = 4.
const SETTINGS: Settings = Settings {
    k_s: 2,
    h: 8,
    labels: false,
};

/// Runs a session; afterwards the picture has its logits. The client's secrets are erased however
/// it ends.
pub fn classify<L: Read + Write>(
    session: &mut Metered<'_>,
    line: &mut L,
    rng: &mut impl CryptoRng,
) -> Result<(), DriveError<L::Error>> {
    // Room for one frame: RAM is short, and the link gathers what it sends.
    let mut buffer = [0; MAX_FRAME];
    session.client.open(SETTINGS, rng);
    drive(session, line, &mut buffer, &mut ())?;
    let welcome = session.client.welcome();
    if !welcome.is_some_and(|welcome| session.picture.fit(welcome)) {
        session.client.close();
        return Err(Error::Usage(Usage::Image).into());
    }
    session.client.start()?;
    drive(session, line, &mut buffer, &mut ())?;
    session.client.finish()?;
    drive(session, line, &mut buffer, &mut ())
}
