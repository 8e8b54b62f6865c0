"""Right and wrong answers to problem set 3. A wrong one is a change (old, new) of the reference answer."""

QUESTIONS = {
    "binomial": {
        "tests": ["binomial-test"],
        "right": [
            """
def binomial_log_prob(counts, logits, total=16):
    return torch.distributions.Binomial(total, logits=logits).log_prob(counts).sum(-1)
""",
            """
def binomial_log_prob(counts, logits, total=16):
    log_p, log_not = F.logsigmoid(logits), F.logsigmoid(-logits)
    k = counts.to(logits.dtype)
    log_ways = math.lgamma(total + 1) - (k + 1).lgamma() - (total - k + 1).lgamma()
    return (log_ways + k * log_p + (total - k) * log_not).sum(dim=-1)
""",
        ],
        "wrong": {
            "mean for sum": (".sum(-1)", ".mean(-1)"),
            "wrong axis": (".sum(-1)", ".sum(0)"),
            "no number of ways": ("log_ways + counts", "counts"),
            "ways subtracted": ("(log_ways + counts", "(-log_ways + counts"),
            "softplus once": ("n * F.softplus", "F.softplus"),
            "always sixteen": ("float(total)", "16.0"),
            "sign of the logits": (
                "counts * logits - n * F.softplus(logits)",
                "-counts * logits - n * F.softplus(-logits)",
            ),
            "overflows": ("F.softplus(logits)", "torch.log(1 + torch.exp(logits))"),
            "probabilities first": ("F.softplus(logits)", "-torch.log(1 - torch.sigmoid(logits))"),
            "logits for probabilities": ("n * F.softplus(logits)", "n * torch.sigmoid(logits)"),
            "sign": ("return (log", "return -(log"),
            "lgamma of n": ("torch.lgamma(n + 1)", "torch.lgamma(n)"),
            "grey values": ("counts * logits - n *", "counts / 16 * logits -"),
            "factor one half": ("return (log", "return 0.5 * (log"),
            "constant": ("return (log", "return -1.0 + 0.0 * (log"),
        },
    },
    "networks": {
        "tests": ["networks-test"],
        "right": [
            """
class CountVAE(nn.Module):
    def __init__(self, x_dim=64, hidden=128, z_dim=8):
        super().__init__()
        self.first = nn.Linear(x_dim, hidden)
        self.heads = nn.Linear(hidden, 2 * z_dim)
        self.second = nn.Linear(z_dim, hidden)
        self.last = nn.Linear(hidden, x_dim)

    def encode(self, counts):
        return self.heads(torch.relu(self.first(counts / 16.0))).chunk(2, dim=-1)

    def decode(self, z):
        return self.last(torch.relu(self.second(z)))
""",
            """
class CountVAE(nn.Module):
    def __init__(self, x_dim=64, hidden=128, z_dim=8):
        super().__init__()
        self.encoder = vl.GaussianEncoder(x_dim, z_dim, (hidden,))
        self.net = vl.MLP(z_dim, (hidden,), x_dim)

    def encode(self, counts):
        return self.encoder(counts * 0.0625)

    def decode(self, z):
        return self.net(z)
""",
        ],
        "wrong": {
            "ReLU on mu": ("return self.fc_mu(h)", "return self.fc_mu(h).relu()"),
            "softplus on logvar": ("self.fc_logvar(h)\n", "F.softplus(self.fc_logvar(h))\n"),
            "ReLU on logvar": ("self.fc_logvar(h)\n", "self.fc_logvar(h).relu()\n"),
            "tanh on logvar": ("self.fc_logvar(h)\n", "self.fc_logvar(h).tanh()\n"),
            "tanh on mu": ("return self.fc_mu(h)", "return self.fc_mu(h).tanh()"),
            "sigmoid on the logits": ("return self.decoder(z)", "return self.decoder(z).sigmoid()"),
            "tanh on the logits": ("return self.decoder(z)", "return self.decoder(z).tanh()"),
            "one head": ("self.fc_logvar(h)\n", "self.fc_mu(h)\n"),
            "sampled in the encoder": (
                "return self.fc_mu(h)",
                "return vl.reparameterize(self.fc_mu(h), self.fc_logvar(h))",
            ),
            "widths ignored": ("nn.Linear(hidden, z_dim)", "nn.Linear(hidden, 8)"),
            "x_dim ignored": ("nn.Linear(hidden, x_dim)", "nn.Linear(hidden, 64)"),
            "decoder flattens": ("self.decoder(z)", "self.decoder(z.reshape(-1, z.shape[-1]))"),
            "no ReLU in the decoder": ("nn.Linear(z_dim, hidden), nn.ReLU()", "nn.Linear(z_dim, hidden)"),
            "no ReLU in the encoder": ("nn.Linear(x_dim, hidden), nn.ReLU()", "nn.Linear(x_dim, hidden)"),
            "counts not scaled": ("counts / 16", "counts"),
            "head detached": ("self.fc_logvar(h)\n", "self.fc_logvar(h).detach()\n"),
            "body detached": ("h = self.body(counts / 16)", "h = self.body(counts / 16).detach()"),
        },
    },
    "elbo": {
        "tests": ["elbo-test"],
        "right": [
            """
class Terms(NamedTuple):
    elbo: Tensor
    log_p_x_given_z: Tensor
    kl: Tensor

def count_elbo(model, counts, eps=None):
    mu, logvar = model.encode(counts)
    if eps is None:
        eps = torch.randn(mu.shape)
    log_p = binomial_log_prob(counts, model.decode(mu + logvar.div(2).exp() * eps))
    kl = ((mu.square() + logvar.exp() - 1 - logvar) / 2).sum(dim=1)
    return Terms(elbo=log_p - kl, log_p_x_given_z=log_p, kl=kl)
""",
            """
class Terms(NamedTuple):
    elbo: Tensor
    log_p_x_given_z: Tensor
    kl: Tensor

def count_elbo(model, counts, eps=None):
    q = torch.distributions.Normal(*(lambda m, v: (m, torch.exp(v / 2)))(*model.encode(counts)))
    z = q.rsample() if eps is None else q.mean + q.stddev * eps
    likelihood = torch.distributions.Binomial(16, logits=model.decode(z)).log_prob(counts).sum(-1)
    price = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    return Terms(likelihood - price, likelihood, price)
""",
        ],
        "wrong": {
            "KL added": ("log_p_x_given_z - kl,", "log_p_x_given_z + kl,"),
            "no KL": ("log_p_x_given_z - kl,", "log_p_x_given_z,"),
            "the loss": ("log_p_x_given_z - kl,", "kl - log_p_x_given_z,"),
            "mean decoded": ("z = vl.reparameterize(mu, logvar, eps=eps)", "z = mu"),
            "given noise ignored": ("eps=eps", "eps=None"),
            "logvar for std": (
                "vl.reparameterize(mu, logvar, eps=eps)",
                "mu + logvar * (torch.randn_like(mu) if eps is None else eps)",
            ),
            "no half in the width": ("vl.reparameterize(mu, logvar,", "vl.reparameterize(mu, 2 * logvar,"),
            "shared noise": (
                "eps=eps",
                "eps=torch.randn(1, mu.shape[1]) if eps is None else eps",
            ),
            "one noise for the coordinates": (
                "eps=eps",
                "eps=torch.randn(len(mu), 1) if eps is None else eps[:, :1]",
            ),
            "the same noise at every call": (
                "eps=eps",
                "eps=torch.linspace(-1.5, 1.5, mu.numel()).view(mu.shape) if eps is None else eps",
            ),
            "uniform noise": ("eps=eps", "eps=torch.rand_like(mu) if eps is None else eps"),
            "mean over pixels": (
                "binomial_log_prob(counts, model.decode(z))",
                "binomial_log_prob(counts, model.decode(z)) / counts.shape[1]",
            ),
            "mean over coordinates": (
                "vl.gaussian_kl(mu, logvar)",
                "vl.gaussian_kl(mu, logvar) / mu.shape[1]",
            ),
            "no half in the KL": ("vl.gaussian_kl(mu, logvar)", "2 * vl.gaussian_kl(mu, logvar)"),
            "KL of the batch": ("vl.gaussian_kl(mu, logvar)", "vl.gaussian_kl(mu, logvar).mean()"),
            "sampled KL": (
                "vl.gaussian_kl(mu, logvar)",
                "vl.gaussian_log_prob(z, mu, logvar) - vl.standard_normal_log_prob(z)",
            ),
            "Bernoulli on grey values": (
                "binomial_log_prob(counts, model.decode(z))",
                "vl.bernoulli_log_prob(counts / 16, model.decode(z))",
            ),
            "fields swapped": ("log_p_x_given_z, kl)", "kl, log_p_x_given_z)"),
            "mean over the batch": (
                "return Terms(log_p_x_given_z - kl",
                "return Terms((log_p_x_given_z - kl).mean()",
            ),
        },
    },
    "loop": {
        "tests": ["loop-test"],
        "right": [
            """
def fit(model, x, objective, optimizer, epochs, batch_size):
    history = []
    while len(history) < epochs:
        order, values = torch.randperm(len(x)), []
        for start in range(0, len(x), batch_size):
            batch = x[order[start : start + batch_size]]
            optimizer.zero_grad()
            value = objective(model, batch)
            loss = -value.sum() / len(batch)
            loss.backward()
            optimizer.step()
            values += value.tolist()
        history.append(sum(values) / len(values))
    return history
""",
            """
def fit(model, x, objective, optimizer, epochs, batch_size):
    loader = torch.utils.data.DataLoader(x, batch_size=batch_size, shuffle=True)
    history = []
    for _ in range(epochs):
        seen = torch.zeros(0)
        for batch in loader:
            value = objective(model, batch)
            (-1 * value).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            seen = torch.cat([seen, value.detach()])
        history.append(float(seen.mean()))
    return history
""",
        ],
        "wrong": {
            "sign": ("(-values.mean())", "values.mean()"),
            "sum for mean": ("(-values.mean())", "(-values.sum())"),
            "no zero_grad": ("            optimizer.zero_grad()\n", ""),
            "no step": ("            optimizer.step()\n", ""),
            "no shuffling": ("torch.randperm(len(x))", "torch.arange(len(x))"),
            "one order for all epochs": (
                "torch.randperm(len(x))",
                "torch.randperm(len(x), generator=torch.Generator().manual_seed(0))",
            ),
            "drawn with replacement": ("torch.randperm(len(x))", "torch.randint(len(x), (len(x),))"),
            "last batch left out": ("split(batch_size):", "split(batch_size)[: len(x) // batch_size]:"),
            "mean of the batches' means": (
                "total += values.sum().item()",
                "total += values.mean().item() * len(x) / (-(-len(x) // batch_size))",
            ),
            "history of sums": ("total / len(x)", "total"),
            "total never reset": ("        total = 0.0\n", "        total = locals().get('total', 0.0)\n"),
            "tensors in the history": ("values.sum().item()", "values.sum().detach()"),
            "the loss in the history": ("history.append(total", "history.append(-total"),
            "one epoch": ("range(epochs)", "range(1)"),
            "full batches": ("split(batch_size)", "split(len(x))"),
            "scaled by the size of the data": ("(-values.mean())", "(-values.mean() * len(x))"),
            "divided by the batch size": ("(-values.mean())", "(-values.sum() / batch_size)"),
            "value after the step": (
                "total += values.sum().item()",
                "total += objective(model, x[index]).sum().item()",
            ),
            "constant": ("history.append(total / len(x))", "history.append(4.0)"),
        },
    },
    "train": {
        "tests": ["train-test"],
        "right": [
            """
vl.seed_everything(0)
model = CountVAE(hidden=100, z_dim=12)
adam = torch.optim.AdamW(model.parameters(), lr=3e-3)
history = fit(model, counts, lambda m, x: count_elbo(m, x).elbo, adam, epochs=40, batch_size=50)
""",
            """
vl.seed_everything(1)
model = CountVAE(hidden=128, z_dim=10)
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
history = []
for _ in range(35):
    history += fit(model, counts, lambda m, x: count_elbo(m, x)[0], optimizer, 1, 64)
""",
        ],
        "wrong": {
            "two epochs": ("epochs=60", "epochs=2"),
            "not trained": ("history = fit(", "history = [-400.0, -100.0]; 0 and fit("),
            "no KL": (
                "count_elbo(m, x).elbo, optimizer, epochs=60",
                "count_elbo(m, x)[1], optimizer, epochs=20",
            ),
            "the loss for the ELBO": (
                "count_elbo(m, x).elbo, optimizer, epochs=60",
                "-count_elbo(m, x)[0], optimizer, epochs=3",
            ),
            "grey values": (
                "counts, lambda m, x: count_elbo(m, x).elbo, optimizer, epochs=60",
                "counts / 16, lambda m, x: count_elbo(m, x).elbo, optimizer, epochs=20",
            ),
            "one picture": ("model, counts, lambda", "model, counts[:64], lambda"),
            "no training and no history": ("history = fit(", "history = []; 0 and fit("),
            "another model": ("model = CountVAE(", "model = vl.dense_vae(64, (64,), 8); _ = CountVAE("),
        },
    },
    "sample": {
        "tests": ["sample-test"],
        "right": [
            """
@torch.no_grad()
def sample_counts(model, n, z_dim):
    p = torch.sigmoid(model.decode(torch.randn(n, z_dim)))
    return (torch.rand(16, *p.shape) < p).sum(0).float()
""",
            """
def sample_counts(model, n, z_dim):
    z = torch.distributions.Normal(0.0, 1.0).sample((n, z_dim))
    p = torch.sigmoid(model.decode(z)).detach()
    return torch.binomial(torch.full_like(p, 16.0), p)
""",
        ],
        "wrong": {
            "means": (
                "torch.distributions.Binomial(16, logits=logits).sample()",
                "16 * torch.sigmoid(logits)",
            ),
            "rounded means": (
                "torch.distributions.Binomial(16, logits=logits).sample()",
                "(16 * torch.sigmoid(logits)).round()",
            ),
            "one coin": (
                "torch.distributions.Binomial(16, logits=logits).sample()",
                "16 * torch.bernoulli(torch.sigmoid(logits))",
            ),
            "binary": ("Binomial(16,", "Binomial(1,"),
            "fifteen": ("Binomial(16,", "Binomial(15,"),
            "one code for all": ("torch.randn(n, z_dim)", "torch.randn(1, z_dim).expand(n, z_dim)"),
            "code zero": ("torch.randn(n, z_dim)", "torch.zeros(n, z_dim)"),
            "uniform codes": ("torch.randn(n, z_dim)", "torch.rand(n, z_dim)"),
            "wide codes": ("torch.randn(n, z_dim)", "3 * torch.randn(n, z_dim)"),
            "probabilities for logits": ("logits=logits", "logits=torch.sigmoid(logits)"),
            "sign": ("logits=logits", "logits=-logits"),
            "half the logits": ("logits=logits", "logits=logits / 2"),
            "one picture": ("torch.randn(n, z_dim)", "torch.randn(1, z_dim)"),
            "the same noise at every pixel": (
                "return torch.distributions.Binomial(16, logits=logits).sample()",
                "u = torch.rand(16, len(logits), 1); return (u < torch.sigmoid(logits)).sum(0).float()",
            ),
        },
    },
}
