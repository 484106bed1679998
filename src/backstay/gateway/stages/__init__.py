"""The policies a request passes, one file each, one signature: `Stage` of `gateway.exchange`."""
