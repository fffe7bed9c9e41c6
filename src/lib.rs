#![doc = "placeholder"]
pub mod model;
pub mod ports;
pub mod codec;
pub mod etl;
pub mod leasing;
