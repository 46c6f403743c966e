"""What the corpus's features are made of: HW1P2's sample rate, window and hop, and as many mel bands."""

SAMPLE_RATE_HZ = 16_000
WINDOW = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms
NUM_MELS = 40
