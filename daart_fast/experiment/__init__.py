"""Where models are kept, which experiment a folder holds, and who works on it. Without torch."""
