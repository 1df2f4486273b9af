//! Both parties in one process: the server never sees the picture, nor the client the weights.
//!
//!     cargo run --release -p stria-core --features server --example loopback

mod stripes;

use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use stria_core::{Budget, MAX_FRAME, Server, Settings, SmallClient, loopback};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let mut rng = ChaCha20Rng::from_seed(seed);
    let mut server = Server::new(stripes::network()?, Budget::new(2), &mut rng);
    let client = SmallClient::new(Settings::default(), &mut rng);
    let mut session = (Box::new(client), stripes::Picture::new(false));
    let mut buffer = [0; MAX_FRAME];
    loopback(&mut session, &mut server, &mut buffer)?;
    for columns in [false, true] {
        session.1.columns = columns;
        session.0.start()?;
        loopback(&mut session, &mut server, &mut buffer)?;
        println!("{} {:?}", session.1.class(), session.1.logits);
    }
    Ok(())
}
