"""Every field of every config, once. Other configs override some of them.

Units stand in the names; an empty string or 0 stands for "the usual", as said beside each field.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Give the defaults: a non-saturating GAN on scikit-learn's digits."""
    config = ConfigDict()
    config.seed = 0
    config.family = "gan"

    config.data = data = ConfigDict()
    data.name = "digits"  # ring, ..., polygons, digits, photos, folder, csv, or any name of TensorFlow Datasets
    data.image_size = 0  # pixels; 0: as stored
    data.channels = 0  # 0: as stored
    data.path = ""  # of the folder of images, or of the CSV file
    data.data_dir = ""  # where prepared datasets are; "": the usual place
    data.download = False
    data.batch_size = 64  # examples per move

    config.networks = networks = ConfigDict()
    networks.name = "dcgan"  # mlp, dcgan, resnet, r3gan, linear; conv in a glow; unet in diffusion; pixelcnn, image_gpt
    networks.width = 64  # units, or channels at the highest resolution
    networks.depth = 3  # hidden layers of an mlp; blocks of a pixelcnn, an image_gpt or a unet
    networks.activation = "default"  # the architecture's own
    networks.normalization = "batch"  # batch, group, none
    networks.spectral_norm = False  # in the critic
    networks.minibatch_stddev = False  # in the critic
    networks.convolution = "auto"  # native, patches, auto: what is fastest on the backend
    networks.conditional = False
    networks.precision = "float32"  # bfloat16: of what networks compute; all else stays float32

    config.latent = latent = ConfigDict()
    latent.dim = 64
    latent.top_dim = 8  # of the level above, in an hvae
    latent.distribution = "normal"  # normal, uniform, zero

    # python -m genloss_jax.losses.catalog lists them. Several joined by "|" share one compiled program, in which the
    # traced hyper["loss_index"], 0 unless an ablation sets it, chooses: hinge|wasserstein|f_gan_kl
    config.loss = "non_saturating"

    config.penalty = penalty = ConfigDict()  # on the critic
    # One; or several added, joined by "+": r1+r2; or several that hyper["penalty_index"] chooses from, joined by "|":
    # r1|wgan_gp|dragan, of r1, r2, wgan_gp, wgan_lp, zero_centered, dragan, wgan_div, max_gradient
    penalty.name = "r1"
    penalty.weight = 0.0  # 0: no penalty, and no time spent on it
    penalty.every = 1  # steps between evaluations (lazy regularisation)

    config.generator_penalty = generator_penalty = ConfigDict()
    generator_penalty.name = ""
    generator_penalty.weight = 0.0
    generator_penalty.every = 1

    config.inputs = inputs = ConfigDict()  # between examples and the critic
    inputs.instance_noise = 0.0  # standard deviation
    inputs.augment = ""  # of all that the critic sees, joined by "+": color+translation+cutout
    inputs.augment_probability = 1.0
    inputs.augment_target = 0.0  # above 0: adapt the probability, from 0, until E[sign(real logits)] is this
    inputs.augment_images = 500_000  # images seen while an adapted probability goes from 0 to 1
    inputs.consistency = "translation"  # of the penalty balanced_consistency
    inputs.pack = 1  # examples per critic input
    config.top_k = 1.0  # share of the samples that train the generator

    config.vae = vae = ConfigDict()
    vae.bound = "elbo"  # elbo, iwae, renyi
    vae.num_samples = 1  # latents per example while training
    vae.num_evaluation_samples = 64  # of the bound that is reported
    vae.beta = 1.0  # weight of the divergence in the elbo
    vae.alpha = 0.5  # order of the Rényi bound
    vae.noisy_samples = True  # sample p(x | z), or its mean

    config.adversarial_autoencoder = autoencoder = ConfigDict()
    autoencoder.method = "vae_gan"  # wae_mmd, aae, vae_gan, ali, soft_intro_vae
    autoencoder.scale = 0.2  # standard deviation of a number around the decoder's output; soft_intro_vae learns it
    autoencoder.beta = 1.0  # weight of the divergence
    autoencoder.mmd_weight = 1000.0  # of wae_mmd
    autoencoder.adversarial_weight = 1.0  # of what opposes the discriminator, or the encoder in soft_intro_vae
    autoencoder.feature_weight = 1.0  # of the reconstruction of the discriminator's features in vae_gan
    autoencoder.pixel_weight = 0.0  # of the reconstruction of pixels in vae_gan
    autoencoder.alpha = 2.0 / 64  # sharpness of soft_intro_vae: 2 / numbers of an example
    autoencoder.gamma = 1e-8  # weight of the reconstruction of samples in soft_intro_vae
    autoencoder.negative_beta = 1.0  # weight of the divergence of samples in soft_intro_vae
    autoencoder.noisy_samples = False  # whether ali plays with draws of p(x | z) or with its mean
    autoencoder.num_features = 64  # of an example, that the discriminator's head sees beside latents
    autoencoder.head_width = 128
    autoencoder.head_depth = 2

    config.vq_vae = vq_vae = ConfigDict()
    vq_vae.num_positions = 8  # codes per example
    vq_vae.num_codes = 64  # codewords to choose from
    vq_vae.code_dim = 8  # numbers of a codeword
    vq_vae.commitment_weight = 0.25
    vq_vae.codebook_decay = 0.99  # per step, of the running averages that the codewords are
    vq_vae.prior_width = 64  # of the transformer over the codes, whose dropout and heads are those of autoregressive
    vq_vae.prior_depth = 2  # its blocks
    vq_vae.noisy_samples = True  # sample p(x | codes), or its mean

    config.flow = flow = ConfigDict()
    flow.layer = "coupling"  # coupling, autoregressive, glow
    flow.transformer = "spline"  # affine, spline
    flow.num_layers = 6  # each with a network of its own; of a glow, at each of two resolutions
    flow.num_bins = 16  # of a spline
    flow.bound = 4.0  # a spline bends [-bound, bound], in standard deviations of the layer's input
    flow.max_log_scale = 4.0  # bound on the log-scale of an affine map

    config.autoregressive = autoregressive = ConfigDict()
    autoregressive.dropout = 0.0  # in each block, while training
    autoregressive.num_heads = 4  # of an image_gpt; a divisor of networks.width
    autoregressive.temperature = 1.0  # of samples

    config.diffusion = diffusion = ConfigDict()
    diffusion.process = "flow_matching"  # flow_matching, rectified_flow, mean_flow, ddpm, edm, vdm, consistency
    diffusion.path = "linear"  # of flow matching and mean flows: linear, trigonometric
    diffusion.coupling = "independent"  # of flow matching: independent, optimal_transport
    diffusion.prediction = "noise"  # of ddpm: noise, data, velocity
    diffusion.min_snr = False  # whether ddpm weighs its squared error
    diffusion.min_snr_gamma = 5.0
    diffusion.sigma_data = 0.0  # standard deviation of the data in edm and consistency; 0: measured
    diffusion.sigma_min = 0.002  # noise of both at the end of the way back, in the unit of the data
    diffusion.sigma_max = 80.0  # and at its beginning
    diffusion.log_sigma_mean = -1.2  # of the noise that both train on
    diffusion.log_sigma_std = 1.2
    diffusion.num_intervals = 64  # of consistency, from sigma_min to sigma_max
    diffusion.log_snr_max = 13.3  # of vdm, at the data
    diffusion.log_snr_min = -5.0  # and at the noise
    diffusion.instant_share = 0.75  # of the examples of a mean flow that learn the velocity at one time
    diffusion.adaptive_power = 1.0  # of the squared error of a mean flow that it is divided by
    diffusion.num_pair_steps = 10  # of the Runge-Kutta method that makes the pairs of a rectified flow
    diffusion.sampler = "rk4"  # euler, heun, rk4, ancestral; mean_flow and consistency leap instead
    diffusion.num_steps = 50  # of the sampler, or leaps
    diffusion.num_likelihood_steps = 50  # of the Runge-Kutta method in the likelihood; times in the bound of vdm

    config.energy = energy = ConfigDict()
    energy.method = "contrastive_divergence"  # contrastive_divergence, noise_contrastive, denoising, joint
    energy.data_noise = 0.0  # standard deviation of noise on the data; above 0 where they lie on levels
    energy.num_points = 128  # of the normaliser's quadrature, along each axis of the plane
    energy.sampler = "langevin"  # langevin, mala, hmc
    energy.step_size = 0.01  # of the sampler, in variances of the data; of denoising in those of the noise
    energy.num_leapfrog_steps = 5  # of hmc
    energy.num_sampling_steps = 500  # from the base to a sample; of denoising at each level
    energy.num_steps = 20  # of persistent chains between two moves of the parameters
    energy.buffer_size = 4096  # persistent chains
    energy.reinitialise = 0.02  # probability with which a persistent chain begins anew
    energy.magnitude_weight = 0.0  # of the squared energies in contrastive divergence
    energy.generative_weight = 1.0  # of the energies beside the classes in joint
    energy.num_noise = 1  # draws for each example in noise_contrastive
    energy.sigma_min = 0.1  # least noise of denoising, in the unit of the data
    energy.sigma_max = 4.0  # and the most
    energy.num_levels = 16  # of noise, on the way to a sample of denoising

    config.optimizer = optimizer = ConfigDict()
    optimizer.name = "adam"  # adam, rmsprop, sgd, optimistic_adam
    optimizer.learning_rate = 2e-4
    optimizer.b1 = 0.5  # first-moment decay; momentum of sgd
    optimizer.b2 = 0.999  # second-moment decay of adam and rmsprop
    optimizer.clip_gradient_norm = 0.0  # 0: none

    config.players = players = ConfigDict()  # one entry for each player of the family
    players.discriminator = player()
    players.generator = player(averaged=True)

    config.schedule = schedule = ConfigDict()
    schedule.play = "alternating"  # alternating, simultaneous, extragradient
    schedule.ema_decay = 0.99  # per step, of the averaged players, after a ramp-up
    schedule.anneal = anneal = ConfigDict()  # from the value given above at step 0 to factor times it at total_steps
    anneal.learning_rate = path()
    anneal.penalty_weight = path()
    anneal.instance_noise = path()
    anneal.top_k = path()

    config.training = training = ConfigDict()
    training.total_steps = 3000
    training.log_every_steps = 100
    training.evaluate_every_steps = 1000
    training.checkpoint_every_steps = 500
    training.steps_per_dispatch = 1
    training.on_nonfinite = "stop"  # stop, skip, rollback
    training.keep_last = 2
    training.keep_best = 1

    config.parallel = parallel = ConfigDict()
    parallel.kind = "auto"  # none, sharded, pmap; auto: sharded where there are several devices
    parallel.shard_state = False  # split parameters and optimiser state over the devices too; of sharded
    parallel.micro_batches = 1  # pieces of a move's examples that go through the networks one after another

    config.evaluation = evaluation = ConfigDict()
    evaluation.num_samples = 0  # 0: the protocol's own
    evaluation.extractor = "auto"
    evaluation.seed = 0
    evaluation.cache_dir = ""  # of trained feature extractors; "": the usual place
    return config


def player(averaged: bool = False) -> ConfigDict:
    """Give the fields of one player."""
    own = ConfigDict()
    own.moves = 1  # per step
    own.learning_rate_scale = 1.0
    own.clip_weights = 0.0  # bound on each weight after each move; 0: none
    own.averaged = averaged  # sample with the moving average of its parameters
    return own


def single_player(config: ConfigDict) -> ConfigDict:
    """Put one player, the model, in the place of the two of a game."""
    return with_players(config, model=True)


def with_players(config: ConfigDict, **averaged: bool) -> ConfigDict:
    """Put other players in the place of the two of a GAN, each with whether its parameters are averaged."""
    config.players = ConfigDict({name: player(averaged=value) for name, value in averaged.items()})
    return config


def path(shape: str = "none", factor: float = 1.0) -> ConfigDict:
    """Give the fields of an annealed value: none, linear, cosine or geometric."""
    own = ConfigDict()
    own.shape = shape
    own.factor = factor
    return own


def smoke(config: ConfigDict) -> ConfigDict:
    """Shrink a config to two steps of a small network: what `--config=configs/x.py:smoke` runs."""
    config.training.total_steps = 2
    config.training.log_every_steps = 1
    config.training.evaluate_every_steps = 2
    config.training.checkpoint_every_steps = 2
    config.training.steps_per_dispatch = 1
    config.data.batch_size = 8
    config.networks.width = 8
    config.adversarial_autoencoder.num_features = 8
    config.adversarial_autoencoder.head_width = 8
    config.networks.depth = 1
    config.vq_vae.prior_width = 8
    config.vq_vae.prior_depth = 1
    config.flow.num_layers = 2
    config.diffusion.num_steps = 2
    config.diffusion.num_likelihood_steps = 2
    config.diffusion.num_pair_steps = 2
    config.energy.num_points = 16
    config.energy.num_sampling_steps = 2
    config.energy.num_steps = 2
    config.energy.buffer_size = 64
    config.energy.num_levels = 2
    config.evaluation.num_samples = 64
    return config


def finish(config: ConfigDict, variant: str) -> ConfigDict:
    """Apply the variant named after the config's colon, and lock the config."""
    variants = {"": lambda config: config, "smoke": smoke}
    if variant not in variants:
        raise ValueError(f"unknown variant {variant!r} after the config's colon; valid: 'smoke'")
    return variants[variant](config).lock()
