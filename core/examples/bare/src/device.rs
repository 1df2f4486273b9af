//! The program.

use core::convert::Infallible;
use core::ptr;

use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use stria_core::link::{IoError, Line, LinkIo, Timing};
use stria_core::{Application, DriveError, Error, MAX_FRAME, Settings, SmallClient, Usage, drive};

const USART1: usize = 0x4001_1000;
const RNG: usize = 0x5006_0800;
const TIM2: usize = 0x4000_0000;

fn read(register: usize) -> u32 {
    // SAFETY: the addresses in this file are those of readable registers.
    unsafe { ptr::read_volatile(register as *const u32) }
}

fn write(register: usize, value: u32) {
    // SAFETY: the addresses in this file are those of writable registers without an effect on memory.
    unsafe { ptr::write_volatile(register as *mut u32, value) }
}

/// The serial port: bytes that come and go without waiting.
struct Uart;

impl Line for Uart {
    type Error = Infallible;

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let (Some(byte), true) = (buffer.first_mut(), read(USART1) & 1 << 5 != 0) else {
            return Ok(0);
        };
        *byte = read(USART1 + 4) as u8;
        Ok(1)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let (Some(&byte), true) = (bytes.first(), read(USART1) & 1 << 7 != 0) else {
            return Ok(0);
        };
        write(USART1 + 4, byte.into());
        Ok(1)
    }

    fn now(&mut self) -> u64 {
        read(TIM2 + 0x24).into()
    }
}

/// A seed that has never been used before.
fn entropy() -> [u8; 32] {
    let mut seed = [0; 32];
    for bytes in seed.chunks_exact_mut(4) {
        while read(RNG + 4) & 1 == 0 {}
        bytes.copy_from_slice(&read(RNG + 8).to_le_bytes());
    }
    seed
}

/// The camera's picture, and the class that it is of.
struct Camera {
    pixels: [[u8; 32]; 32],
    best: (i32, u16),
}

impl Application for Camera {
    fn pixel(&mut self, _channel: usize, row: usize, col: usize) -> i32 {
        let pixel = self.pixels.get(row).and_then(|row| row.get(col));
        i32::from(pixel.copied().unwrap_or(0)) - 128
    }
    fn logit(&mut self, class: u16, value: i32) {
        self.best = self.best.max((value, class));
    }
}

fn classify(
    client: &mut SmallClient,
    camera: &mut Camera,
    link: &mut LinkIo<Uart, 256, 4>,
    rng: &mut ChaCha20Rng,
) -> Result<u16, DriveError<IoError<Infallible>>> {
    link.connect(rng.next_u32()).map_err(DriveError::Io)?;
    client.open(Settings::default(), rng);
    let mut buffer = [0; MAX_FRAME];
    let mut session = (client, camera);
    drive(&mut session, link, &mut buffer, &mut ())?;
    let input = session.0.welcome().map(|welcome| &welcome.input);
    if !input.is_some_and(|input| (input.channels, input.side) == (1, 32)) {
        return Err(Error::Usage(Usage::Image).into());
    }
    session.0.start()?;
    drive(&mut session, link, &mut buffer, &mut ())?;
    session.0.finish()?;
    drive(&mut session, link, &mut buffer, &mut ())?;
    link.close().map_err(DriveError::Io)?;
    Ok(session.1.best.1)
}

/// Where the device starts.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    static mut CLIENT: SmallClient = SmallClient::closed();
    // SAFETY: the device starts once, and nothing else names CLIENT.
    let client = unsafe { &mut *&raw mut CLIENT };
    let mut camera = Camera {
        pixels: [[0; 32]; 32],
        best: (i32::MIN, 0),
    };
    let mut link = LinkIo::new(Uart, Timing::DEFAULT);
    let mut rng = ChaCha20Rng::from_seed(entropy());
    loop {
        match classify(client, &mut camera, &mut link, &mut rng) {
            // Here a product shows the class.
            Ok(_class) => {}
            // The client has erased its secrets; the next session has new ones.
            Err(_error) => client.close(),
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
