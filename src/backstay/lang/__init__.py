"""The `.cai` language: text in, one frozen `Program` or diagnostics out. Pure: no I/O."""
