import requests
response = requests.get(
'https://linkit.works/api/v1/telemetry',
headers={'Authorization': 'your_api_key_here'}
)
telemetry = response.json()
