"""UNet (Ronneberger et al., MICCAI 2015) on timm's encoders, trained end to end on masks."""
