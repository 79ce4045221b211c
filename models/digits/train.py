"""Trains the model `digits` and writes it into a folder, in the layout of diffusers.

    pip install torch==2.15.0 scikit-learn==1.9.1 onnx==1.23.2
    python models/digits/train.py models/digits/1

The steps, the seed and the number of threads are fixed. It takes about ten minutes on two cores. The tokenizer's files must be in the folder before.
"""
import copy, hashlib, json, math, pathlib, random, sys, warnings

import numpy
import onnx
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

STEPS, BATCH, SEED = 9000, 128, 0
CONTEXT, WIDTH = 16, 32          # tokens of a prompt, width of a token
SIDE, SCALE = 8, 8               # pixels of a training image; pixels of the picture to one of those
LEARNING_RATE, WARM_UP, EMA = 2e-3, 200, 0.9993
UNCONDITIONAL = 0.12             # share of empty prompts, for guidance
NAMES = "zero one two three four five six seven eight nine".split()
PHRASES = ["{}", "the digit {}", "a handwritten {}", "the number {}", "a picture of the digit {}",
           "a drawing of a {}", "handwritten {}", "a handwritten digit {}"]


class Tokenizer:
    """CLIP's byte pair encoding, for lowercase words of ASCII letters and single digits."""

    def __init__(self, folder):
        self.vocab = json.loads((folder / "vocab.json").read_text())
        lines = (folder / "merges.txt").read_text().split("\n")[1:]
        self.rank = {tuple(line.split()): at for at, line in enumerate(lines) if line}
        self.begin, self.end = self.vocab["<|startoftext|>"], self.vocab["<|endoftext|>"]

    def word(self, word):
        parts = list(word[:-1]) + [word[-1] + "</w>"]
        while len(parts) > 1:
            pairs = [(self.rank.get(pair, math.inf), at) for at, pair in enumerate(zip(parts, parts[1:]))]
            rank, at = min(pairs)
            if rank == math.inf:
                break
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        return [self.vocab[part] for part in parts]

    def padded(self, tokens):
        ids = [self.begin, *tokens][:CONTEXT - 1] + [self.end]
        return ids + [self.end] * (CONTEXT - len(ids))

    def __call__(self, text):
        return self.padded([token for word in text.split() for token in self.word(word)])


class TextEncoder(nn.Module):
    """One layer of attention over the tokens."""

    def __init__(self, vocabulary):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, WIDTH)
        self.places = nn.Parameter(torch.randn(CONTEXT, WIDTH) * 0.02)
        self.before, self.between, self.after = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.mixed, self.joined = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        nn.init.normal_(self.tokens.weight, std=0.3)

    def forward(self, input_ids):
        hidden = self.tokens(input_ids) + self.places
        query, key, value = self.mixed(self.before(hidden)).chunk(3, -1)
        weights = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(WIDTH), -1)
        hidden = hidden + self.joined(weights @ value)
        hidden = self.after(hidden + self.narrow(F.silu(self.wide(self.between(hidden)))))
        return hidden, hidden.mean(1)


class Block(nn.Module):
    """Two convolutions, the second one scaled and shifted by the time and the prompt."""

    def __init__(self, before, after, conditions):
        super().__init__()
        self.first, self.second = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.norm, self.norm2 = nn.GroupNorm(8, before), nn.GroupNorm(8, after)
        self.condition = nn.Linear(conditions, 2 * after)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        nn.init.zeros_(self.second.weight)

    def forward(self, values, condition):
        hidden = self.first(F.silu(self.norm(values)))
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, 1)
        return self.skip(values) + self.second(F.silu(self.norm2(hidden) * (1 + scale) + shift))


class Attention(nn.Module):
    """Each place of the picture looks at all places and at all tokens."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.query = nn.Linear(channels, channels)
        self.own, self.text = nn.Linear(channels, 2 * channels), nn.Linear(WIDTH, 2 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)

    def forward(self, values, text):
        batch, channels, height, width = values.shape
        places = self.norm(values).flatten(2).transpose(1, 2)
        key, value = torch.cat([self.own(places), self.text(text)], 1).chunk(2, -1)
        weights = torch.softmax(self.query(places) @ key.transpose(1, 2) / math.sqrt(channels), -1)
        return values + self.out(weights @ value).transpose(1, 2).reshape(batch, channels, height, width)


class Unet(nn.Module):
    """Predicts the velocity; 8 x 8 down to 4 x 4 and up again."""

    def __init__(self, narrow=32, wide=64, conditions=64):
        super().__init__()
        self.register_buffer("frequencies", torch.exp(-math.log(10000) * torch.arange(16) / 16)[None])
        self.time, self.time2 = nn.Linear(32, conditions), nn.Linear(conditions, conditions)
        self.prompt = nn.Linear(WIDTH, conditions)
        self.begin = nn.Conv2d(1, narrow, 3, padding=1)
        self.down, self.shrink = Block(narrow, narrow, conditions), nn.Conv2d(narrow, wide, 3, stride=2, padding=1)
        self.middle, self.attend, self.middle2 = Block(wide, wide, conditions), Attention(wide), Block(wide, wide, conditions)
        self.grow, self.up = nn.Conv2d(wide, narrow, 3, padding=1), Block(2 * narrow, narrow, conditions)
        self.norm, self.end = nn.GroupNorm(8, narrow), nn.Conv2d(narrow, 1, 3, padding=1)
        nn.init.zeros_(self.end.weight)

    def forward(self, sample, timestep, encoder_hidden_states):
        angles = timestep.reshape(-1, 1).float() * self.frequencies
        time = self.time2(F.silu(self.time(torch.cat([angles.sin(), angles.cos()], 1))))
        condition = F.silu(time + self.prompt(encoder_hidden_states.mean(1)))
        fine = self.down(self.begin(sample), condition)
        coarse = self.attend(self.middle(self.shrink(fine), condition), encoder_hidden_states)
        coarse = self.middle2(coarse, condition)
        coarse = self.grow(F.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        return self.end(F.silu(self.norm(self.up(torch.cat([coarse, fine], 1), condition))))


class Decoder(nn.Module):
    """Not learned: ink on white paper, eight times as large."""

    def forward(self, latent_sample):
        large = F.interpolate(-latent_sample, scale_factor=float(SCALE), mode="bicubic", align_corners=False)
        return large.clamp(-1, 1).expand(-1, 3, -1, -1)


class Encoder(nn.Module):
    """The way back: how dark a place is."""

    def forward(self, sample):
        return -F.avg_pool2d(sample.mean(1, keepdim=True), SCALE)


def captions(tokenizer, labels, phrases, words, junk):
    """For half of the images a phrase; for the others the digit among random words."""
    rows = []
    for label in labels.tolist():
        if random.random() < UNCONDITIONAL:
            rows.append(tokenizer.padded([]))
        elif random.random() < 0.5:
            rows.append(random.choice(phrases[label]))
        else:
            before, after = ([random.choice(junk) for _ in range(random.randint(0, most))] for most in (5, 6))
            rows.append(tokenizer.padded(before + random.choice(words[label]) + after))
    return torch.tensor(rows)


def train(tokenizer):
    images, labels = load_digits(return_X_y=True)
    images, _, labels, _ = train_test_split(images, labels, test_size=300, random_state=0, stratify=labels)
    images = torch.tensor(images / 8 - 1, dtype=torch.float32).view(-1, 1, SIDE, SIDE)
    labels = torch.tensor(labels)
    written = [[name, str(digit)] for digit, name in enumerate(NAMES)]
    phrases = [[tokenizer(phrase.format(word)) for phrase in PHRASES for word in both] for both in written]
    words = [[tokenizer.word(word) for word in both] for both in written]
    taken = {each[-1] for both in words for each in both}
    junk = [token for token in range(tokenizer.begin) if token not in taken]
    networks = nn.ModuleList([TextEncoder(len(tokenizer.vocab)), Unet()])
    average = copy.deepcopy(networks)
    optimizer = torch.optim.AdamW(networks.parameters(), LEARNING_RATE, weight_decay=1e-4)
    signal = torch.cumprod(1 - torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000) ** 2, 0)
    for step in range(STEPS):
        rate = LEARNING_RATE * min(1, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / STEPS)) + 1e-5
        for group in optimizer.param_groups:
            group["lr"] = rate
        chosen = torch.randint(0, len(images), (BATCH,))
        clean, text = images[chosen], captions(tokenizer, labels[chosen], phrases, words, junk)
        noise, time = torch.randn_like(clean), torch.randint(0, 1000, (BATCH,))
        alpha, sigma = (part.sqrt()[:, None, None, None] for part in (signal[time], 1 - signal[time]))
        predicted = networks[1](alpha * clean + sigma * noise, time.float(), networks[0](text)[0])
        loss = F.mse_loss(predicted, alpha * noise - sigma * clean)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), networks.parameters()):
                slow.lerp_(fast, 1 - min(EMA, (step + 1) / (step + 10)))
        if step % 500 == 0:
            print(f"step {step} of {STEPS}, loss {loss.item():.4f}", flush=True)
    return average.eval()


def export(network, inputs, folder, names, outputs, axes):
    folder.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(network.eval(), inputs, str(folder / "model.onnx"), input_names=names, output_names=outputs,
                      dynamic_axes=axes, opset_version=18, dynamo=False)
    halve(folder / "model.onnx")


def halve(path):
    """Stores the weights in half precision; what computes with them still has single precision."""
    model = onnx.load(str(path))
    casts = []
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != numpy.float32 or values.size < 64:
            continue
        name = weight.name
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(numpy.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    onnx.save(model, str(path))


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def main(folder):
    torch.manual_seed(SEED)
    random.seed(SEED)
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    warnings.filterwarnings("ignore")
    tokenizer = Tokenizer(folder / "tokenizer")
    text, unet = train(tokenizer)
    batch, sizes = {0: "batch"}, {0: "batch", 2: "height", 3: "width"}
    ids, latents = torch.tensor([tokenizer("")] * 2), torch.randn(2, 1, SIDE, SIDE)
    export(text, (ids,), folder / "text_encoder", ["input_ids"], ["last_hidden_state", "pooler_output"],
           {"input_ids": batch, "last_hidden_state": batch, "pooler_output": batch})
    export(unet, (latents, torch.tensor(1.0), text(ids)[0]), folder / "unet",
           ["sample", "timestep", "encoder_hidden_states"], ["out_sample"],
           {"sample": sizes, "encoder_hidden_states": batch, "out_sample": sizes})
    export(Decoder(), (latents,), folder / "vae_decoder", ["latent_sample"], ["sample"],
           {"latent_sample": sizes, "sample": sizes})
    export(Encoder(), (torch.randn(2, 3, 64, 64),), folder / "vae_encoder", ["sample"], ["latent_sample"],
           {"sample": sizes, "latent_sample": sizes})
    kind = ["diffusers", "OnnxRuntimeModel"]
    write_json(folder / "model_index.json", {
        "_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": kind, "tokenizer": ["transformers", "CLIPTokenizer"], "unet": kind,
        "vae_decoder": kind, "vae_encoder": kind})
    write_json(folder / "scheduler/scheduler_config.json", {
        "_class_name": "EulerDiscreteScheduler", "num_train_timesteps": 1000, "beta_start": 0.00085,
        "beta_end": 0.012, "beta_schedule": "scaled_linear", "prediction_type": "v_prediction",
        "timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1})
    write_json(folder / "unet/config.json", {
        "in_channels": 1, "out_channels": 1, "sample_size": SIDE, "cross_attention_dim": WIDTH,
        "block_out_channels": [32, 64], "time_cond_proj_dim": None})
    write_json(folder / "vae_decoder/config.json", {
        "latent_channels": 1, "scaling_factor": 1.0, "block_out_channels": [1, 1, 1, 1]})
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            print(path.relative_to(folder), path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
